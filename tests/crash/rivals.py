"""The ways in which training programs usually save, each in one file that is replaced again and again."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.crash.recording import Recording
from tests.crash.states import Crash, empty, fast_folder, power_cuts, put
from tests.crash.stories import Story, same

_STORY = Story(saves=4)
_FILE = "model.pt"


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)


def _save(state: Any, descriptor: int) -> None:
    """Does what `torch.save` does, through the functions that the recorder knows."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    os.write(descriptor, buffer.getbuffer())


def in_place(state: Any, path: Path) -> None:
    descriptor = _opened(path)
    _save(state, descriptor)
    os.close(descriptor)


def by_rename(*syncs: str) -> Callable[[Any, Path], None]:
    """Gives a way that writes a temporary file and renames it, with the named syncs."""

    def save(state: Any, path: Path) -> None:
        temporary = path.with_name("temporary")
        descriptor = _opened(temporary)
        _save(state, descriptor)
        if "file" in syncs:
            os.fsync(descriptor)
        os.close(descriptor)
        os.replace(temporary, path)
        if "folder" in syncs:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    return save


RIVALS = {
    "torch.save in place": in_place,
    "a temporary file and a rename": by_rename(),
    "a temporary file, fsync and a rename": by_rename("file"),
    "a temporary file, a rename and fsync of the folder": by_rename("folder"),
}
RIGHT = by_rename("file", "folder")


def judged(save: Callable[[Any, Path], None], *, extra: int = 0) -> list[str]:
    """Gives a verdict on each crash state: `fine` or what is wrong; `extra` as for `power_cuts`."""
    with fast_folder() as root:
        recording = Recording(root)
        with recording.running():
            for step in range(1, _STORY.saves + 1):
                recording.note("begun", step)
                save(_STORY.state(step), root / _FILE)
                recording.note("saved", step)
    return list(_verdicts(power_cuts(recording, extra=extra)))


def _verdicts(crashes: Iterator[Crash]) -> Iterator[str]:
    with fast_folder() as root:
        for crash in crashes:
            put(crash.tree, root)
            yield _verdict(crash, root / _FILE)
            empty(root)


def _verdict(crash: Crash, path: Path) -> str:
    newest = max(crash.facts.acknowledged, default=0)
    if not path.exists():
        return "lost" if newest else "fine"
    try:
        state = torch.load(path, weights_only=True)
    except Exception:  # noqa: BLE001 -- a torn file raises anything
        return "does not open"
    if state["step"] < newest:
        return "lost"
    return "fine" if same(state, _STORY.state(state["step"])) else "wrong values"
