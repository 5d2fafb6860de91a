"""A model of a disk: what the file operations of a program have made durable, and what a power cut may still undo.

The rules are those that a program may rely on with a journalling file system, and no more:

* the bytes of a file are durable when that file has been fsynced; until then each block may be old, new or missing;
* the entries of a folder are durable when the folder has been fsynced; until then any first part of the changes made
  in it since may have reached the disk, in their order; folders do not wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

BLOCK = 4096


@dataclass(frozen=True)
class Create:
    path: str


@dataclass(frozen=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    file: int
    size: int
    grows_only: bool = False


@dataclass(frozen=True)
class SyncFile:
    file: int


@dataclass(frozen=True)
class SyncFolder:
    path: str


@dataclass(frozen=True)
class Rename:
    source: str
    target: str


@dataclass(frozen=True)
class Link:
    source: str
    target: str


@dataclass(frozen=True)
class Unlink:
    path: str


@dataclass(frozen=True)
class MakeFolder:
    path: str


@dataclass(frozen=True)
class Note:
    """Not an operation: the program has begun to save a step, has said that it is saved, or has loaded it."""

    what: Literal["begun", "saved", "loaded"]
    step: int


Operation: TypeAlias = Create | Write | Resize | SyncFile | SyncFolder | Rename | Link | Unlink | MakeFolder | Note


@dataclass(frozen=True)
class Survivor:
    """A file after a power cut."""

    file: int
    """Names with the same number are links to one file."""
    content: bytes
    written: int
    """Orders the times of the last writes."""


@dataclass(frozen=True)
class Tree:
    """Everything below a folder."""

    folders: tuple[str, ...]
    files: dict[str, Survivor]

    def key(self) -> tuple[object, ...]:
        """Gives a value that is equal for trees that a program cannot tell apart."""
        numbers: dict[int, int] = {}
        entries = [
            (path, numbers.setdefault(file.file, len(numbers)), file.content)
            for path, file in sorted(self.files.items())
        ]
        return (self.folders, tuple(entries))


@dataclass
class _File:
    durable: bytes = b""
    pending: list[Write | Resize] = field(default_factory=list)
    written: int = 0

    def now(self) -> bytes:
        return _applied(self.durable, self.pending)

    def survivors(self, random: Random, extra: int) -> list[bytes]:
        """Gives what a power cut may leave: all, nothing, zeros, a first part, all but one block, random blocks."""
        if not self.pending:
            return [self.durable]
        changes = self.pending
        sizes = [change for change in changes if isinstance(change, Resize)]
        zeros = [Write(c.file, c.offset, bytes(len(c.data))) if isinstance(c, Write) else c for c in changes]
        found = [changes, [], zeros, sizes]
        found += [changes[:count] for count in range(1, len(changes))]
        found += [changes[:index] + zeros[index:] for index in range(len(changes))]
        found += [changes[:index] + changes[index + 1 :] for index in range(len(changes))]
        found += [[change for change in changes if random.random() < 0.5] for _ in range(extra)]
        return list(dict.fromkeys(_applied(self.durable, part) for part in found))


def _applied(content: bytes, changes: list[Write | Resize]) -> bytes:
    data = bytearray(content)
    for change in changes:
        if isinstance(change, Write):
            data.extend(bytes(max(0, change.offset - len(data))))
            data[change.offset : change.offset + len(change.data)] = change.data
        else:
            data.extend(bytes(max(0, change.size - len(data))))
            if not change.grows_only:
                del data[change.size :]
    return bytes(data)


_Entries: TypeAlias = dict[str, int]
_A_FOLDER = -1


class Disk:
    """What is on a disk, and in the memory of the kernel above it. The folder at the top is the path ``""``."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        # Of each folder: its entries on the disk, then after each change since.
        self._versions: dict[str, list[_Entries]] = {"": [{}]}
        self._clock = 0

    @classmethod
    def holding(cls, tree: Tree) -> Disk:
        """Gives a disk after a power cut that left `tree`: all of it is durable."""
        disk = cls()
        for path in tree.folders:
            disk._entries_of(path)[os.path.basename(path)] = _A_FOLDER
            disk._versions[path] = [{}]
        for path, file in tree.files.items():
            disk._entries_of(path)[os.path.basename(path)] = file.file
            disk._files[file.file] = _File(file.content, [], file.written)
        disk._clock = max((file.written for file in tree.files.values()), default=0)
        return disk

    def copy(self) -> Disk:
        return deepcopy(self)

    def file_at(self, path: str) -> int | None:
        """Gives the number of the file that has a name now."""
        return self._entries_of(path).get(os.path.basename(path))

    def apply(self, operation: Operation) -> None:
        """Carries out one operation, in memory only unless it is a sync."""
        self._clock += 1
        match operation:
            case Create(path):
                number = max(self._files, default=-1) + 1
                self._files[number] = _File(written=self._clock)
                self._change(path)[os.path.basename(path)] = number
            case Write(file, offset, data):
                for start in range(0, len(data), BLOCK):
                    self._files[file].pending.append(Write(file, offset + start, data[start : start + BLOCK]))
                self._files[file].written = self._clock
            case Resize(file):
                self._files[file].pending.append(operation)
                self._files[file].written = self._clock
            case SyncFile(file):
                self._files[file].durable, self._files[file].pending = self._files[file].now(), []
            case SyncFolder(path):
                self._versions[path] = self._versions[path][-1:]
            case Rename(source, target):
                self._rename(source, target)
            case Link(source, target):
                number = self._entries_of(source)[os.path.basename(source)]
                self._change(target)[os.path.basename(target)] = number
            case Unlink(path):
                del self._change(path)[os.path.basename(path)]
            case MakeFolder(path):
                self._change(path)[os.path.basename(path)] = _A_FOLDER
                self._versions[path] = [{}]

    def now(self) -> Tree:
        """Gives what programs see, which is what the death of a process alone leaves."""
        current = {folder: versions[-1] for folder, versions in self._versions.items()}
        return self._tree(current, {number: file.now() for number, file in self._files.items()})

    def after_power_cut(self, random: Random, extra: int) -> Iterator[Tree]:
        """Gives every state of the disk that a power cut may leave (of files, one at a time is varied).

        Args:
            random: Chooses blocks.
            extra: How many random choices of surviving blocks there are for each unsynced file.
        """
        everything = {number: file.now() for number, file in self._files.items()}
        nothing = {number: file.durable for number, file in self._files.items()}
        unsynced = {number: file.survivors(random, extra) for number, file in self._files.items() if file.pending}
        contents = [everything, nothing] if unsynced else [everything]
        for number, choices in unsynced.items():
            contents += [{**others, number: choice} for choice in choices for others in (everything, nothing)]
        names = list(self._versions)
        for versions in product(*self._versions.values()):
            for content in contents:
                yield self._tree(dict(zip(names, versions, strict=True)), content)

    def _rename(self, source: str, target: str) -> None:
        assert os.path.dirname(source) == os.path.dirname(target), "renames are modelled within one folder only"
        if self.file_at(source) == self.file_at(target):
            return  # two names of one file: POSIX does nothing
        entries = self._change(source)
        entries[os.path.basename(target)] = entries.pop(os.path.basename(source))

    def _entries_of(self, path: str) -> _Entries:
        return self._versions[os.path.dirname(path)][-1]

    def _change(self, path: str) -> _Entries:
        """Gives new entries of the folder in which `path` lies."""
        versions = self._versions[os.path.dirname(path)]
        versions.append(dict(versions[-1]))
        return versions[-1]

    def _tree(self, entries: dict[str, _Entries], contents: dict[int, bytes]) -> Tree:
        folders: list[str] = []
        files: dict[str, Survivor] = {}
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            for name, number in entries[folder].items():
                path = os.path.join(folder, name)
                if number == _A_FOLDER:
                    folders.append(path)
                    waiting.append(path)
                else:
                    files[path] = Survivor(number, contents[number], self._files[number].written)
        return Tree(tuple(sorted(folders)), files)


def tree_in(root: Path) -> dict[str, tuple[int, bytes]]:
    """Gives the files that really lie below a folder: for each path its inode and content."""
    found = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return {str(path.relative_to(root)): (path.stat().st_ino, path.read_bytes()) for path in found}
