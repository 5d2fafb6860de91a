"""Going on from an older checkpoint: as a run of its own, or in place with the later checkpoints set aside."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import BEST, BEST_WEIGHTS, LATEST, Store
from holdfast.config import to_yaml
from holdfast.run.folder import RunFolder, Status


def is_latest(checkpoint: Path) -> bool:
    """Says whether a checkpoint is the state that its run would go on from anyway."""
    latest = checkpoint.with_name(LATEST)
    if not latest.exists():
        return False
    return latest.samefile(checkpoint) or _progress(latest) == _progress(checkpoint)


def fork(folder: RunFolder, stage: str, checkpoint: Path, *, command: Sequence[str]) -> RunFolder:
    """Makes the run NAME-2 that starts with the history of another up to one of its checkpoints.

    The checkpoint shares its bytes with the original; the original stays as it is.

    Raises:
        CheckpointError: When the checkpoint is damaged.
    """
    state = archive.read(checkpoint)
    name = f"checkpoint_{_number(checkpoint, state)}.pth"
    # That of one stage is not that of the run.
    values = folder.config_values() if state["config"].get("stages") else state["config"]
    files: dict[str, str | bytes | Path] = {
        "config.yaml": to_yaml(values),
        "config.json": _json(values),
        "git_commit.txt": _text(folder.path / "git_commit.txt"),
        "provenance.json": _json(_forked(folder, checkpoint, command)),
        "status.json": Status(
            state="interrupted", stage=stage, epoch=state["epoch"], step=state["step"], samples=state["samples"]
        ).to_json(),
    }
    inside = folder.checkpoints(stage).relative_to(folder.path)
    files[str(inside / name)] = checkpoint
    files |= _best_until(folder.checkpoints(stage), inside, state)
    earlier = _stages_before(folder, stage)
    for place in (folder.path / "code", *(folder.logs(one) for one in (*earlier, stage))):
        for path in sorted(place.rglob("*")):
            if path.is_file():
                files[path.relative_to(folder.path).as_posix()] = path.read_bytes()
    for place in (folder.checkpoints(one) for one in earlier):
        files |= {path.relative_to(folder.path).as_posix(): path for path in sorted(place.glob("*.pth"))}
    return RunFolder.create(folder.path, files, numbered=True)


def rewind(folder: RunFolder, stage: str, checkpoint: Path) -> list[Path]:
    """Sets every later checkpoint, those of later stages too, aside as `NAME.rewound`, and gives their new files."""
    archive.verify(checkpoint)
    kept = _progress(checkpoint)
    aside = []
    with folder.lock():
        for later in _stages_after(folder, stage):
            place = folder.checkpoints(later)
            with closing(Store(place)):
                aside += [_set_aside(path) for path in sorted(place.glob("*.pth"))]
                durable.fsync_folder(place)
    with folder.lock(), closing(Store(folder.checkpoints(stage))):
        place = folder.checkpoints(stage)
        for path in sorted(place.glob("checkpoint_*.pth")):
            if _progress(path) > kept:
                aside.append(_set_aside(path))
        if aside and not (place / BEST).exists() and (place / BEST_WEIGHTS).exists():
            aside.append(_set_aside(place / BEST_WEIGHTS))
        durable.fsync_folder(place)
    return aside


def _stages_before(folder: RunFolder, stage: str) -> list[str]:
    """Gives the stages before one that have saved something."""
    names = _stages(folder)
    return [name for name in names[: names.index(stage)] if folder.checkpoints(name).is_dir()] if names else []


def _stages_after(folder: RunFolder, stage: str) -> list[str]:
    names = _stages(folder)
    return [name for name in names[names.index(stage) + 1 :] if folder.checkpoints(name).is_dir()] if names else []


def _stages(folder: RunFolder) -> list[str]:
    return [stage["name"] for stage in folder.config_values().get("stages") or []]


def _progress(path: Path) -> tuple[int, int]:
    counters = archive.read_counters(path)
    return counters["step"], counters["epoch"]


def _number(checkpoint: Path, state: dict[str, Any]) -> str:
    word = checkpoint.stem.removeprefix("checkpoint_")
    return word if word.startswith(("epoch", "step")) else f"step{state['step']}"


def _best_until(place: Path, inside: Path, state: dict[str, Any]) -> dict[str, Path]:
    """Gives the files of the best state, when that was reached by then."""
    best = place / BEST
    if not best.exists() or _progress(best) > (state["step"], state["epoch"]):
        return {}
    return {str(inside / name): place / name for name in (BEST, BEST_WEIGHTS) if (place / name).exists()}


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.rewound")
    number = 2
    while aside.exists():
        aside = path.with_name(f"{path.name}.rewound-{number}")
        number += 1
    os.rename(path, aside)
    return aside


def _forked(folder: RunFolder, checkpoint: Path, command: Sequence[str]) -> dict[str, Any]:
    try:
        document = json.loads(_text(folder.path / "provenance.json"))
    except ValueError:
        document = {}
    origin = {
        "run": str(folder.path),
        "checkpoint": checkpoint.name,
        "command": list(command),
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    return {**document, "forked_from": origin}


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _json(document: Any) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
