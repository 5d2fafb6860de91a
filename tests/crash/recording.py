"""Records the file operations of ordinary code, by standing in for the functions of `os`, and `open`, while it runs.

The code under test needs no seam for it and works on real files. What the recording says is compared with the real
folder at its end: an operation that went past the recorder does not stay unnoticed.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from holdfast.errors import HoldfastError
from tests.crash.disk import (
    Create,
    Disk,
    Link,
    MakeFolder,
    Note,
    Operation,
    Rename,
    Resize,
    SyncFile,
    SyncFolder,
    Tree,
    Unlink,
    Write,
    tree_in,
)

_NOT_MODELLED = ("pwritev", "writev", "sendfile", "symlink", "rmdir", "truncate", "mkfifo")


class Recording:
    """The operations below a folder, in order, with notes between them.

    Args:
        root: The folder. It must hold what the disk holds.
        before: The disk before the recording begins; empty if not given.
    """

    def __init__(self, root: Path, before: Disk | None = None) -> None:
        self.before = before or Disk()
        self.operations: list[Operation] = []
        self.failure: str | None = None
        """What has ended the program, where something has."""
        self._root = os.path.realpath(root)
        self._now = self.before.copy()
        self._open: dict[int, int | str] = {}

    def note(self, what: Literal["begun", "saved", "loaded"], step: int) -> None:
        """Writes down that the program has begun to save a step, has said that it is saved, or has loaded it."""
        self._add(Note(what, step))

    @contextmanager
    def until_it_fails(self) -> Iterator[None]:
        """Lets an error that a program may expect of a disk or a folder end it; any other is one of the test's own."""
        try:
            yield
        except (HoldfastError, OSError) as error:
            self.failure = f"the program fails: {error!r}"

    @contextmanager
    def running(self) -> Iterator[Recording]:
        """Records what happens inside the block, then compares the recording with the real folder."""
        with ExitStack() as stack:
            for name, wrapped in self._wrappers():
                stack.enter_context(patch.object(os, name, wrapped(getattr(os, name))))
            for module in (builtins, io):
                stack.enter_context(patch.object(module, "open", self._wrap_stream(io.open)))
            yield self
        assert _shape(tree_in(Path(self._root))) == _shape_of(self._now.now()), "an operation was not recorded"

    def _wrappers(self) -> list[tuple[str, Callable[[Callable[..., Any]], Callable[..., Any]]]]:
        known = [
            ("open", self._wrap_open),
            ("close", self._wrap_close),
            ("write", self._wrap_write),
            ("pwrite", self._wrap_pwrite),
            ("copy_file_range", self._wrap_copy_file_range),
            ("ftruncate", self._wrap_ftruncate),
            ("posix_fallocate", self._wrap_posix_fallocate),
            ("fsync", self._wrap_fsync),
            ("fdatasync", self._wrap_fsync),
            ("rename", self._wrap_pair(Rename)),
            ("replace", self._wrap_pair(Rename)),
            ("link", self._wrap_pair(Link)),
            ("unlink", self._wrap_single(Unlink)),
            ("remove", self._wrap_single(Unlink)),
            ("mkdir", self._wrap_single(MakeFolder)),
        ]
        return known + [(name, _refusal(name)) for name in _NOT_MODELLED if hasattr(os, name)]

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self._now.apply(operation)

    def _inside(self, path: Any) -> str | None:
        """Gives a path relative to the root; None for one that lies elsewhere."""
        full = os.path.abspath(os.fspath(path))
        if full == self._root:
            return ""
        return os.path.relpath(full, self._root) if full.startswith(self._root + os.sep) else None

    def _file(self, descriptor: int) -> int | None:
        number = self._open.get(descriptor)
        return number if isinstance(number, int) else None

    def _wrap_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def wrapped(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            inside = None if dir_fd is not None else self._inside(path)
            existed = os.path.lexists(path) if inside is not None else True
            descriptor = real(path, flags, mode, dir_fd=dir_fd)
            if inside is None:
                return descriptor
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self._open[descriptor] = inside
                return descriptor
            if not existed:
                self._add(Create(inside))
            number = self._now.file_at(inside)
            assert number is not None, "the recording must begin with what the folder holds"
            self._open[descriptor] = number
            if existed and flags & os.O_TRUNC:
                self._add(Resize(number, 0))
            return descriptor

        return wrapped

    def _wrap_stream(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(file: Any, mode: str = "r", buffering: int = -1, *values: Any, **options: Any) -> Any:
            closes = options.pop("closefd", True)
            inside = self._file(file) if isinstance(file, int) else self._inside(file)
            if inside is None or not set(mode) & set("wax+"):
                return real(file, mode, buffering, *values, closefd=closes, **options)
            descriptor = file if isinstance(file, int) else os.open(file, _flags(mode), 0o666)
            raw = _Raw(descriptor, closes)
            if "a" in mode:
                raw.seek(0, os.SEEK_END)
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *values, **options)

        return wrapped

    def _wrap_close(self, real: Callable[..., None]) -> Callable[..., None]:
        def wrapped(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            real(descriptor)

        return wrapped

    def _wrap_write(self, real: Callable[..., int]) -> Callable[..., int]:
        def wrapped(descriptor: int, data: Any) -> int:
            number = self._file(descriptor)
            offset = os.lseek(descriptor, 0, os.SEEK_CUR) if number is not None else 0
            count = real(descriptor, data)
            if number is not None:
                self._add(Write(number, offset, bytes(memoryview(data)[:count])))
            return count

        return wrapped

    def _wrap_pwrite(self, real: Callable[..., int]) -> Callable[..., int]:
        def wrapped(descriptor: int, data: Any, offset: int) -> int:
            count = real(descriptor, data, offset)
            if (number := self._file(descriptor)) is not None:
                self._add(Write(number, offset, bytes(memoryview(data)[:count])))
            return count

        return wrapped

    def _wrap_copy_file_range(self, real: Callable[..., int]) -> Callable[..., int]:
        def wrapped(source: int, target: int, count: int) -> int:
            offset = os.lseek(target, 0, os.SEEK_CUR)
            copied = real(source, target, count)
            if copied and (number := self._file(target)) is not None:
                self._add(Write(number, offset, os.pread(target, copied, offset)))
            return copied

        return wrapped

    def _wrap_ftruncate(self, real: Callable[..., None]) -> Callable[..., None]:
        def wrapped(descriptor: int, size: int) -> None:
            real(descriptor, size)
            if (number := self._file(descriptor)) is not None:
                self._add(Resize(number, size))

        return wrapped

    def _wrap_posix_fallocate(self, real: Callable[..., None]) -> Callable[..., None]:
        def wrapped(descriptor: int, offset: int, length: int) -> None:
            real(descriptor, offset, length)
            if (number := self._file(descriptor)) is not None:
                self._add(Resize(number, offset + length, grows_only=True))

        return wrapped

    def _wrap_fsync(self, real: Callable[..., None]) -> Callable[..., None]:
        def wrapped(descriptor: int) -> None:
            real(descriptor)
            opened = self._open.get(descriptor)
            if opened is not None:
                self._add(SyncFile(opened) if isinstance(opened, int) else SyncFolder(opened))

        return wrapped

    def _wrap_pair(self, kind: type[Rename] | type[Link]) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def wrap(real: Callable[..., None]) -> Callable[..., None]:
            def wrapped(source: Any, target: Any, **options: Any) -> None:
                real(source, target, **options)
                inside = self._inside(source), self._inside(target)
                if inside[0] is not None and inside[1] is not None:
                    self._add(kind(inside[0], inside[1]))

            return wrapped

        return wrap

    def _wrap_single(
        self, kind: type[Unlink] | type[MakeFolder]
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def wrap(real: Callable[..., None]) -> Callable[..., None]:
            def wrapped(path: Any, *values: Any, **options: Any) -> None:
                real(path, *values, **options)
                inside = self._inside(path)
                if inside is not None:
                    self._add(kind(inside))

            return wrapped

        return wrap


class _Raw(io.RawIOBase):
    """A file all of whose operations go through `os`, where they are recorded."""

    def __init__(self, descriptor: int, closes: bool) -> None:
        self._descriptor = descriptor
        self._closes = closes

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return os.readv(self._descriptor, [buffer])

    def write(self, data: Any, /) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._descriptor, size)
        return size

    def close(self) -> None:
        if not self.closed and self._closes:
            os.close(self._descriptor)
        super().close()


def _flags(mode: str) -> int:
    kinds = {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT, "x": os.O_CREAT | os.O_EXCL}
    access = os.O_RDWR if "+" in mode else os.O_WRONLY
    return access | next(flags for kind, flags in kinds.items() if kind in mode)


def _refusal(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"os.{name} is not modelled; teach the recorder and the disk what it does")

    return lambda real: refuse


def _shape(files: dict[str, tuple[int, bytes]]) -> dict[str, tuple[bytes, list[str]]]:
    """Gives for each path its content and all names of its file."""
    names: dict[int, list[str]] = {}
    for path, (number, _) in sorted(files.items()):
        names.setdefault(number, []).append(path)
    return {path: (content, names[number]) for path, (number, content) in files.items()}


def _shape_of(tree: Tree) -> dict[str, tuple[bytes, list[str]]]:
    return _shape({path: (file.file, file.content) for path, file in tree.files.items()})
