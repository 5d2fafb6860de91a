"""Judges from a list of file operations alone whether a save is safe against power cuts.

The rule: all data written, fsync of the file, rename, fsync of the folder; only then further names; only then old
files are removed; and nothing is called saved before all of that is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.faults.calls import Call


@dataclass(frozen=True)
class Event:
    """One operation that has succeeded."""

    kind: Literal["create", "write", "sync", "rename", "link", "remove", "folder", "acknowledged"]
    path: str = ""
    target: str = ""


ACKNOWLEDGED = Event("acknowledged")
"""The program says that all it has done is saved."""


class _Judge:
    """What a disk is sure to hold, as far as the operations tell."""

    def __init__(self, existing: Iterable[str]) -> None:
        self.faults: list[str] = []
        self._files = {path: number for number, path in enumerate(existing)}
        self._numbers = len(self._files)
        self._unsynced: set[int] = set()
        self._new_names: set[str] = set()

    def see(self, event: Event) -> None:
        getattr(self, f"_{event.kind}")(event)

    def _create(self, event: Event) -> None:
        if event.path not in self._files:
            self._numbers += 1
            self._files[event.path] = self._numbers
            self._new_names.add(event.path)
        elif _is_published(event.path):
            self.faults.append(f"{_name(event.path)} is emptied in place")

    def _write(self, event: Event) -> None:
        if _is_published(event.path):
            self.faults.append(f"{_name(event.path)} is written in place")
        self._unsynced.add(self._files[event.path])

    def _sync(self, event: Event) -> None:
        if event.path in self._files:
            self._unsynced.discard(self._files[event.path])
        else:
            self._new_names = {name for name in self._new_names if os.path.dirname(name) != event.path}

    def _rename(self, event: Event) -> None:
        if _is_published(event.target) and self._files[event.path] in self._unsynced:
            self.faults.append(f"{_name(event.target)} is renamed before its data is on the disk")
        same = self._files.get(event.target) == self._files[event.path]
        self._files[event.target] = self._files[event.path]
        self._new_names.add(event.target)
        if not same:
            del self._files[event.path]
            self._new_names.discard(event.path)

    def _link(self, event: Event) -> None:
        if self._files[event.path] in self._unsynced or event.path in self._new_names:
            self.faults.append(f"{_name(event.path)} gets another name before it is on the disk")
        self._files[event.target] = self._files[event.path]
        self._new_names.add(event.target)

    def _remove(self, event: Event) -> None:
        if _is_published(event.path) and (new := self._unsafe()):
            self.faults.append(f"{_name(event.path)} is removed before {', '.join(new)} is on the disk")
        self._files.pop(event.path, None)
        self._new_names.discard(event.path)

    def _folder(self, event: Event) -> None:
        self._new_names.add(event.path)

    def _acknowledged(self, event: Event) -> None:
        self.faults += [f"{name} is called saved before it is on the disk" for name in self._unsafe()]

    def _unsafe(self) -> list[str]:
        unsynced = {path for path, number in self._files.items() if number in self._unsynced}
        return sorted(_name(path) for path in unsynced | self._new_names if _is_published(path))


def faults_in(events: Sequence[Event], existing: Iterable[str] = ()) -> list[str]:
    """Gives, in words, each place where a power cut could lose something.

    Args:
        events: What was done, in order.
        existing: The files that were there before, all of them on the disk.
    """
    judge = _Judge(existing)
    for event in events:
        judge.see(event)
    return judge.faults


def events_of(calls: Sequence[Call]) -> list[Event]:
    """Gives the events of recorded calls, none of which failed."""
    kinds = {"write": "write", "pwrite": "write", "posix_fallocate": "write", "copy_file_range": "write"}
    kinds |= {"fsync": "sync", "replace": "rename", "rename": "rename", "link": "link", "unlink": "remove"}
    kinds |= {"mkdir": "folder", "open": "create"}
    return [Event(kinds[call.name], call.path, call.target) for call in calls if call.changes]  # pyright: ignore


def _is_published(path: str) -> bool:
    """Says whether a name is one that readers look for; temporary files and locks begin with a dot."""
    return not _name(path).startswith(".")


def _name(path: str) -> str:
    return os.path.basename(path)
