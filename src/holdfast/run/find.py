"""Runs and checkpoints by path or by name."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.errors import RunError
from holdfast.run.folder import RunFolder, Status

ROOTS = ("runs", "results", "outputs")
"""Where runs are looked for, beside the folder that the environment variable HOLDFAST_RUNS names."""
LATEST = "checkpoint_latest.pth"
BEST = "checkpoint_best.pth"
_FORMER_LATEST = re.compile(r"(latest_checkpoint|latest|last)\.pth?")
_FORMER_BEST = re.compile(r"(best_model|best)\.pth?")
_FORMER_BEST_OF_STAGE = re.compile(r"best_(.+)\.pth?")
_FORMER_EPOCH = re.compile(r"checkpoint_epoch_?0*(\d+)\.pth?")


@dataclass(frozen=True)
class RunSummary:
    """One run in a list."""

    name: str
    """Relative to the root under which it was found."""
    path: Path
    status: Status
    last_checkpoint: str | None
    last_checkpoint_age: float | None
    """Seconds."""
    size: int
    """Bytes on the disk; a file with several names counts once."""
    age: float
    """Seconds since the run last wrote its status."""

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON: the status' own keys lie beside the others."""
        own = {key: value for key, value in vars(self).items() if key != "status"}
        return {**own, "path": str(self.path), **asdict(self.status)}


def find_run(text: str) -> Path:
    """Gives the folder of a run.

    Args:
        text: The folder, something in it, the name of a run under `$HOLDFAST_RUNS`, `runs/`, `results/` or
            `outputs/`, or the last part of such a name when only one run has it.

    Raises:
        RunError: Saying where it was looked for and which names are near.
    """
    path = Path(text).expanduser()
    if path.exists() and (run := _run_around(path)):
        return run
    roots = run_roots()
    for root in roots:
        if RunFolder.is_run(root / text):
            return root / text
    runs = dict(_runs_below(roots))
    same_end = {run: name for run, name in runs.items() if name.rpartition("/")[2] == text}
    if len(same_end) == 1:
        return next(iter(same_end))
    if same_end:
        names = ", ".join(sorted(same_end.values()))
        raise RunError(f"`{text}` must name one run, but got several: {names}; give one of these names.")
    got = "a path that is neither" if path.exists() else "nothing of that name"
    places = ", ".join(f"{root}/" for root in roots)
    raise RunError(
        f"`{text}` must be a run, or a file in one, but got {got} here or under {places}; {_hint(text, runs.values())}"
    )


def find_checkpoint(text: str, *, choice: str | None, prefer: Sequence[str]) -> tuple[RunFolder, str, Path | None]:
    """Gives the run, the stage and the checkpoint that a path or name means.

    The names that other projects gave their checkpoints (`latest_checkpoint.pth`, `best.pth`, `best_STAGE.pth`,
    `checkpoint_epoch_010.pth`, ...) mean the native file, where there is no file of that name.

    Args:
        text: A checkpoint in a run, or a run as `find_run` takes it.
        choice: `latest`, `best` or a file, which overrules the rest; None for no choice.
        prefer: What a run means, the first that exists: `("best", "latest")`.

    Returns:
        The run; the stage; the file, or None when the run has none yet.

    Raises:
        RunError: When there is no such run or file, or the file lies outside any run.
    """
    path = Path(text).expanduser()
    if path.is_file():
        folder, stage, found = _existing_file(path)
    elif path.suffix in (".pth", ".pt") and not RunFolder.is_run(path):
        folder, stage, found = _named_file(path)
    else:
        folder = RunFolder(find_run(text))
        stage, found = _stage_around(folder, path) or folder.read_status().stage, None
    if choice is not None:
        return _chosen(folder, stage, choice)
    return folder, stage, found or _first(folder, stage, prefer)


def list_runs(roots: Sequence[Path]) -> list[RunSummary]:
    """Gives every run below the roots, sorted by root and name; one that is being removed may be left out."""
    summaries = []
    for path, name in _runs_below(roots):
        with suppress(FileNotFoundError):
            summaries.append(_summary(path, name))
    return summaries


def run_roots() -> list[Path]:
    """Gives the folders where runs are looked for."""
    own = os.environ.get("HOLDFAST_RUNS")
    return [Path(one) for one in ([own] if own else []) + list(ROOTS)]


def _run_around(path: Path) -> Path | None:
    """Gives the run that a path is or lies in, by its own name or by where a link leads."""
    for place in (Path(os.path.abspath(path)), path.resolve()):
        for folder in (place, *place.parents):
            if RunFolder.is_run(folder):
                return folder
    return None


def _runs_below(roots: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Gives every run and its name relative to the root, once; does not look into runs or hidden folders."""
    seen: set[tuple[int, int]] = set()
    for root in roots:
        for path in _walk(root, seen):
            name = path.relative_to(root).as_posix()
            yield path, root.resolve().name if name == "." else name


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        identity = folder.stat()
        if (identity.st_dev, identity.st_ino) in seen:
            return
        seen.add((identity.st_dev, identity.st_ino))
        if RunFolder.is_run(folder):
            yield folder
            return
        with os.scandir(folder) as entries:
            inner = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return
    for name in inner:
        yield from _walk(folder / name, seen)


def _hint(text: str, names: Iterable[str]) -> str:
    by_end = {name.rpartition("/")[2]: name for name in names}
    near = [by_end[end] for end in difflib.get_close_matches(text.rpartition("/")[2], by_end, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else "see `holdfast runs`."


def _existing_file(path: Path) -> tuple[RunFolder, str, Path]:
    run = _run_around(path)
    if run is None:
        raise RunError(
            f"`{path}` must be a checkpoint inside a run folder, but got a file outside any run; give the run's folder."
        )
    folder = RunFolder(run)
    return folder, _stage_around(folder, path) or folder.read_status().stage, path


def _named_file(path: Path) -> tuple[RunFolder, str, Path]:
    """Gives the native file that a name means which is not there itself."""
    try:
        folder = RunFolder(find_run(str(path.parent)))
    except RunError as error:
        raise RunError(
            f"`{path}` must be a checkpoint in a run, but got no file and no run of that name; see `holdfast runs`."
        ) from error
    name = path.name
    stage = _stage_around(folder, path.parent) or folder.read_status().stage
    if _FORMER_LATEST.fullmatch(name):
        native = LATEST
    elif _FORMER_BEST.fullmatch(name):
        native = BEST
    elif match := _FORMER_BEST_OF_STAGE.fullmatch(name):
        stage, native = match[1], BEST
    elif match := _FORMER_EPOCH.fullmatch(name):
        native = f"checkpoint_epoch{match[1]}.pth"
    else:
        native = name
    return folder, stage, _existing(folder, stage, native, asked=name)


def _chosen(folder: RunFolder, stage: str, choice: str) -> tuple[RunFolder, str, Path]:
    native = {"latest": LATEST, "best": BEST}.get(choice)
    if native:
        return folder, stage, _existing(folder, stage, native, asked=choice)
    path = Path(choice).expanduser()
    if path.is_file():
        return _existing_file(path)
    if (inner := folder.checkpoints(stage) / choice).is_file():
        return folder, stage, inner
    return _named_file(folder.path / path if path.parent == Path() else path)


def _existing(folder: RunFolder, stage: str, name: str, *, asked: str) -> Path:
    path = folder.checkpoints(stage) / name
    if not path.is_file():
        there = ", ".join(sorted(one.name for one in path.parent.glob("checkpoint_*.pth"))) or "none yet"
        raise RunError(
            f"`{asked}` must be a checkpoint of {folder.path}, but got no {path.relative_to(folder.path)}; "
            f"choose one of its checkpoints: {there}."
        )
    return path


def _first(folder: RunFolder, stage: str, prefer: Sequence[str]) -> Path | None:
    paths = [folder.checkpoints(stage) / f"checkpoint_{kind}.pth" for kind in prefer]
    return next((path for path in paths if path.is_file()), None)


def _stage_around(folder: RunFolder, path: Path) -> str | None:
    """Gives the stage whose checkpoints folder a path is or lies in; None elsewhere."""
    home = (folder.path / "checkpoints").resolve()
    place = path.resolve()
    if place == home or not place.is_relative_to(home):
        return None
    first = place.relative_to(home).parts[0]
    return first if (home / first).is_dir() else "train"


def _summary(path: Path, name: str) -> RunSummary:
    folder, now = RunFolder(path), time.time()
    status = folder.read_status()
    last = _last_checkpoint(folder.checkpoints(status.stage))
    return RunSummary(
        name=name,
        path=folder.path,
        status=status,
        last_checkpoint=last[1] if last else None,
        last_checkpoint_age=now - last[0] if last else None,
        size=_size(folder.path),
        age=now - _updated(folder, status),
    )


def _updated(folder: RunFolder, status: Status) -> float:
    try:
        return datetime.fromisoformat(status.updated).timestamp()
    except ValueError:
        return folder.path.stat().st_mtime


def _last_checkpoint(folder: Path) -> tuple[float, str] | None:
    """Gives the time and the name of the one that has done most, by its number; unnumbered ones come last."""
    found = [
        (_number_in(path.name), entry.st_mtime, path.name)
        for path in folder.glob("checkpoint_*.pth")
        if path.name != BEST and (entry := _entry(path))
    ]
    _, time_of_last, name = max(found, default=(0, 0.0, ""))
    return (time_of_last, name) if name else None


def _number_in(name: str) -> int:
    match = re.fullmatch(r"checkpoint_(?:epoch|step)(\d+)\.pth", name)
    return int(match[1]) if match else 0


def _size(folder: Path) -> int:
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    entries = [entry for path in paths if (entry := _entry(path))]
    return sum({(entry.st_dev, entry.st_ino): entry.st_size for entry in entries}.values())


def _entry(path: str | Path) -> os.stat_result | None:
    """Gives what the file system says of a file; None when a run in progress has just removed it."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
