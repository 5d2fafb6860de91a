"""Files that survive a power cut: write, fsync, rename, fsync of the folder; links; locks of living processes.

A file that these functions have written is either the old one or the new one, never half of each, and is on the
disk when they return. An error of fsync is never answered by a second fsync: the pages may already be marked clean.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_HARD_LINKS = {errno.EACCES, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}
_close = os.close  # as it is now: a lock is given back even after somebody has put something else in its place
_COPY_AT_ONCE = 1 << 20


def fsync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable: files that were created, renamed or removed in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Gives a name for a temporary file for `path`, in the same folder; threads and processes never share one."""
    return path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """Opens a new file that takes the place of `path`, durably, when the block ends without an error.

    Yields a file descriptor. When the block raises, `path` stays as it was and the new file is removed.
    """
    temporary, descriptor = _new_temporary(path)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
            os.replace(temporary, path)
        finally:
            os.close(descriptor)  # only now, for while it is open its lock says that somebody is writing it
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def _new_temporary(path: Path) -> tuple[Path, int]:
    """Opens a temporary file that says, by a lock, that somebody is writing it."""
    while True:
        temporary = temporary_beside(path)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody who tidies up may have come between the opening and the lock.
        if os.path.exists(temporary):
            return temporary, descriptor
        os.close(descriptor)


def write_file(path: Path, content: str | bytes) -> None:
    """Replaces `path` by a file with this content, durably and atomically."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as descriptor:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]


def remove_temporary_files(folder: Path, name: str = "*") -> None:
    """Removes what failed or killed writers have left in a folder; what somebody is writing is left alone.

    Args:
        folder: Where to look.
        name: For which file, or for all.
    """
    for path in folder.glob(f".{name}.tmp-*"):
        if path.is_file() and not _is_being_written(path):
            path.unlink(missing_ok=True)


def _is_being_written(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def link(source: Path, target: Path) -> None:
    """Makes `target` another name of the file `source`, durably, replacing what had that name.

    On file systems without hard links (FAT, some network ones) `target` becomes a copy instead.
    """
    temporary = temporary_beside(target)
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _copy(source, target)
        return
    try:
        os.replace(temporary, target)
    finally:
        # Renaming onto a name of the very same file does nothing, by POSIX, and leaves the temporary name behind.
        temporary.unlink(missing_ok=True)
    fsync_folder(target.parent)


def _copy(source: Path, target: Path) -> None:
    """Makes `target` a copy, durably."""
    with replacing(target) as descriptor, open(source, "rb") as original, open(descriptor, "wb", closefd=False) as copy:
        shutil.copyfileobj(original, copy, _COPY_AT_ONCE)


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, durably; one that exists already is fine."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    # The process that made this one may have been killed before that was durable. A parent that may not be opened
    # is somebody else's, and so was the making.
    with suppress(PermissionError):
        fsync_folder(folder.parent)
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        fsync_folder(new.parent)


class Lock:
    """A lock on a file that ends with the process or the object that holds it, however that ends.

    Forked children (data loader workers) do not hold it: they may outlive a killed parent by some seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._closing: weakref.finalize | None = None
        _LOCKS.add(self)

    def acquire(self) -> bool:
        """Takes the lock and says whether that was possible; never waits."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._closing = weakref.finalize(self, _close, descriptor)
        return True

    def is_in_place(self) -> bool:
        """Says whether the locked file is still the one at its path: the folder may have been moved or replaced."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except OSError:
            return False

    @property
    def is_mine(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def release(self) -> None:
        """Gives the lock back; the file stays, for removing it could let two processes lock two files."""
        if self._closing is not None:
            self._closing()
        self._descriptor = self._closing = None

    def is_held(self) -> bool:
        """Says whether a living process (this one included) holds the lock, without taking or creating it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def _release_in_child() -> None:
    for lock in list(_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
