"""All states that a power cut may leave at any moment of a recording, and how to put one onto a real disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.crash.disk import Disk, Note, Tree
from tests.crash.recording import Recording

_link = os.link  # the real one, for tests that take links away from the code under test
_FIRST_SECOND = 1_700_000_000


@dataclass(frozen=True)
class Facts:
    """What the program has said by a certain moment."""

    begun: frozenset[int] = frozenset()
    """Steps of which a save has begun."""
    saved: frozenset[int] = frozenset()
    """Steps of which it has said that they are saved."""
    loaded: frozenset[int] = frozenset()
    """Steps that it has gone on from."""

    @property
    def acknowledged(self) -> frozenset[int]:
        """Gives the steps that no later start may fall behind."""
        return self.saved | self.loaded

    def after(self, note: Note) -> Facts:
        """Gives the facts after one more note."""
        told = getattr(self, note.what) | {note.step}
        return replace(self, **{note.what: told})


@dataclass(frozen=True)
class Crash:
    """One state that a power cut may leave, and what had been said before it."""

    moment: int
    """The number of operations before it."""
    tree: Tree
    facts: Facts


def power_cuts(recording: Recording, facts: Facts = Facts(), *, extra: int = 0, seed: int = 0) -> Iterator[Crash]:
    """Gives every crash state of a recording that a program could tell from the others.

    Args:
        recording: What was done.
        facts: What had been said before the recording began.
        extra: How many random choices of surviving blocks there are for each unsynced file at each moment.
        seed: Chooses them.
    """
    disk, random = recording.before.copy(), Random(seed)
    seen: set[int] = set()
    for moment in range(len(recording.operations) + 1):
        if moment:
            operation = recording.operations[moment - 1]
            disk.apply(operation)
            facts = facts.after(operation) if isinstance(operation, Note) else facts
        for tree in disk.after_power_cut(random, extra):
            key = hash((tree.key(), facts))
            if key not in seen:
                seen.add(key)
                yield Crash(moment, tree, facts)


def kills(recording: Recording, facts: Facts = Facts()) -> Iterator[tuple[Disk, Facts]]:
    """Gives the disk after the death of the process at each moment: nothing is lost, and nothing more is durable."""
    disk = recording.before.copy()
    yield disk.copy(), facts
    for operation in recording.operations:
        disk.apply(operation)
        facts = facts.after(operation) if isinstance(operation, Note) else facts
        yield disk.copy(), facts


def put(tree: Tree, root: Path, *, same_times: bool = False) -> None:
    """Makes an empty folder hold a tree.

    Args:
        tree: The tree.
        root: The folder.
        same_times: Whether all files were written in the same tick of the file system's clock.
    """
    first: dict[int, str] = {}
    for folder in tree.folders:
        os.mkdir(root / folder)
    for path, file in tree.files.items():
        full = f"{root}/{path}"
        if file.file in first:
            _link(first[file.file], full)
            continue
        first[file.file] = full
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, file.content)
        moment = _FIRST_SECOND * 10**9 + (0 if same_times else file.written * 10**7)
        os.utime(descriptor, ns=(moment, moment))
        os.close(descriptor)


def empty(root: Path) -> None:
    """Removes everything in a folder."""
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)


@contextmanager
def fast_folder() -> Iterator[Path]:
    """Gives an empty folder, in memory where possible, and removes it at the end."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(os.path.realpath(name))
