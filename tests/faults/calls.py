"""Stands between ordinary code and the functions of `os`: writes down each call below a folder, and lets some fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

_ON_PATHS = ("open", "mkdir", "unlink", "replace", "rename", "link")
_ON_DESCRIPTORS = ("write", "pwrite", "preadv", "posix_fallocate", "copy_file_range", "fsync", "close")
_real = {name: getattr(os, name) for name in (*_ON_PATHS, *_ON_DESCRIPTORS) if hasattr(os, name)}


@dataclass(frozen=True)
class Call:
    """One call; `copy_file_range` counts for the file that it writes."""

    name: str
    path: str
    target: str = ""
    """The second path of a rename or a link."""
    opening: int = 0
    """Which opening of the file it is about, from 1; 0 for calls on paths."""
    changes: bool = True
    """Whether it could change the disk."""
    creates: bool = False
    """Whether it makes a new file."""


Fault: TypeAlias = Callable[[int, Call], None]
"""Is asked before each call, with its number from 1; what it raises takes the place of the call."""


class Calls:
    """The calls below a folder, in order, those that failed included.

    Args:
        folder: The folder; need not exist yet.
        fault: Decides which of them fail.
    """

    def __init__(self, folder: str | os.PathLike[str], fault: Fault = lambda number, call: None) -> None:
        self.made: list[Call] = []
        self.fault = fault
        self._folder = os.path.realpath(folder)
        self._open: dict[int, Call] = {}
        self._openings = 0

    def install(self) -> None:
        """Stands in for the functions of `os` until the process ends."""
        for name in _real:
            setattr(os, name, self._on_path(name) if name in _ON_PATHS else self._on_descriptor(name))

    @contextmanager
    def running(self) -> Iterator[Calls]:
        """Stands in for the functions of `os` while the block runs."""
        self.install()
        try:
            yield self
        finally:
            for name, real in _real.items():
                setattr(os, name, real)

    def _count(self, call: Call) -> None:
        self.made.append(call)
        self.fault(len(self.made), call)

    def _is_below(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._folder + os.sep)

    def _on_path(self, name: str) -> Callable[..., Any]:
        def stand_in(path: Any, *rest: Any, **named: Any) -> Any:
            full = os.path.abspath(os.fspath(path))
            if not self._is_below(full):
                return _real[name](path, *rest, **named)
            if name == "open":
                return self._open_file(full, *rest, **named)
            target = os.path.abspath(os.fspath(rest[0])) if name in ("replace", "rename", "link") else ""
            self._count(Call(name, full, target))
            return _real[name](path, *rest, **named)

        return stand_in

    def _open_file(self, path: str, flags: int, *rest: Any, **named: Any) -> int:
        self._openings += 1
        creates = bool(flags & os.O_CREAT) and not os.path.exists(path)
        changes = creates or bool(flags & os.O_TRUNC)
        call = Call("open", path, opening=self._openings, changes=changes, creates=creates)
        self._count(call)
        descriptor = _real["open"](path, flags, *rest, **named)
        self._open[descriptor] = call
        return descriptor

    def _on_descriptor(self, name: str) -> Callable[..., Any]:
        def stand_in(descriptor: int, *rest: Any, **named: Any) -> Any:
            which = rest[0] if name == "copy_file_range" else descriptor
            opened = self._open.get(which)
            if opened is None:
                return _real[name](descriptor, *rest, **named)
            call = Call(name, opened.path, opening=opened.opening, changes=name not in ("preadv", "close"))
            if name == "close":
                # Linux has closed the file, too, when close reports an error.
                del self._open[which]
                _real[name](descriptor)
                return self._count(call)
            self._count(call)
            return _real[name](descriptor, *rest, **named)

        return stand_in


def fails(number: int, code: int) -> Fault:
    """Lets one call fail."""

    def fault(this: int, call: Call) -> None:
        if this == number:
            raise OSError(code, os.strerror(code), call.path)

    return fault


def kills(number: int) -> Fault:
    """Ends the process in place of one call."""

    def fault(this: int, call: Call) -> None:
        if this == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


def refuses(code: int, *names: str) -> Fault:
    """Lets every call fail that has one of the names; without names, every one that could change the disk."""

    def fault(this: int, call: Call) -> None:
        if call.name in names or (not names and call.changes):
            raise OSError(code, os.strerror(code), call.path)

    return fault
