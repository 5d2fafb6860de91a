"""Saves that a fault shall hit, and what must be true of their folder whatever has happened."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store

_link = os.link  # the real one, for stories that take links away from the code under test


@dataclass(frozen=True)
class Story:
    """States 1, 2, ... are saved one after another; the last of them is the save that faults hit."""

    before: int
    """How many have been acknowledged before."""
    numbered: bool = True
    best: frozenset[int] = frozenset()
    """The steps that are better than all before."""
    keep: Keep = field(default_factory=lambda: Keep(last=2))
    links: bool = True
    """Whether the file system has hard links."""

    @property
    def hit(self) -> int:
        """Gives the step whose save is hit."""
        return self.before + 1

    def save(self, store: Store, step: int) -> None:
        """Saves a state as the training loop does."""
        store.save(_state(step), number=f"epoch{step}" if self.numbered else None, is_best=step in self.best)

    def begun(self, folder: Path, *, tell: Callable[[str], None] | None = None) -> Store:
        """Gives a store in which everything before the save that is hit has been saved."""
        store = Store(folder, self.keep, tell=tell or _refuse_to_hear)
        for step in range(1, self.hit):
            self.save(store, step)
        return store

    @contextmanager
    def file_system(self) -> Iterator[None]:
        """Takes hard links away where the story has none."""

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        if self.links:
            yield
        else:
            with patch.object(os, "link", refuse):
                yield

    def check(self, folder: Path, *, newest: set[int | None]) -> None:
        """Makes sure that a folder holds what it must; looks at a copy, as a process does that starts after a kill.

        Args:
            folder: The folder, possibly in the middle of a save.
            newest: The steps that may be the newest; None where there may be no checkpoint.
        """
        with _copied(folder) as copy:
            good = {archive.read(path)["step"] for path in copy.glob("checkpoint_*.pth")}
            for path in copy.glob("weights_*.pth"):
                archive.verify(path)
            store = Store(copy, self.keep, tell=_refuse_to_hear)
            found = store.load_newest()
            store.close()
            step = found[1]["step"] if found else None
            assert step in newest
            assert found is None or _same(found[1], _state(found[1]["step"]))
            acknowledged = set(range(1, self.hit)) if self.numbered else {self.before} - {0}
            assert len(good) >= min(2, len(acknowledged))
            assert self._best_of(copy) in {self._best_until(one) for one in newest}

    def _best_of(self, folder: Path) -> int | None:
        path = folder / "checkpoint_best.pth"
        return archive.read(path)["step"] if path.exists() else None

    def _best_until(self, step: int | None) -> int | None:
        return max((best for best in self.best if best <= (step or 0)), default=None)


STORIES = {
    "first save": Story(before=0, best=frozenset({1, 2})),
    "a number, the best, one removed": Story(before=3, best=frozenset({1, 4, 5})),
    "only the latest": Story(before=2, numbered=False),
    "no hard links": Story(before=2, best=frozenset({1, 3, 4}), links=False),
}


@lru_cache
def _state(step: int) -> dict[str, Any]:
    """Gives a state with a record that is written by itself (64 kB or more) and small ones."""
    random = torch.Generator().manual_seed(step)
    return {
        "version": 1,
        "stage": "train",
        "epoch": step,
        "step": step,
        "samples": 4 * step,
        "model_state_dict": {
            "weight": torch.randn(130, 130, generator=random),
            "bias": torch.randn(3, generator=random),
        },
        "metric": None,
        "best_metric": None,
        "best_step": None,
    }


def temporary_files(folder: Path) -> list[str]:
    """Gives the names of the temporary files in a folder."""
    return sorted(name for name in os.listdir(folder) if ".tmp" in name)


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    copy = folder.with_name("copy")
    if folder.is_dir():
        shutil.copytree(folder, copy, copy_function=_link, ignore=shutil.ignore_patterns(".lock"))
    else:
        copy.mkdir()
    yield copy
    shutil.rmtree(copy)


def _refuse_to_hear(line: str) -> None:
    raise AssertionError(f"there must be nothing to tell, but got: {line}")


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Mapping):
        return list(left) == list(right) and all(_same(left[key], right[key]) for key in left)
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
