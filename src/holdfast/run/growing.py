"""Files that only grow, and are cut back to what a checkpoint knew of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class GrowingFile:
    """A file to which bytes are added; what the disk refuses is kept and offered again the next time.

    A full disk therefore stops nobody who merely writes a log, and leaves no gap once there is room again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._waiting = bytearray()

    def write(self, content: bytes) -> None:
        """Adds bytes at the end; the operating system has them when this returns, unless the disk refuses."""
        self._waiting += content
        with suppress(OSError):
            self._write_waiting()

    def sync(self) -> None:
        """Makes everything that was added durable.

        Raises:
            OSError: When the disk refuses.
        """
        self._write_waiting()
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Writes what can be written, and closes the file."""
        with suppress(OSError):
            self._write_waiting()
        os.close(self._descriptor)

    def _write_waiting(self) -> None:
        while self._waiting:
            del self._waiting[: os.write(self._descriptor, self._waiting)]


def cut_back(path: Path, size: int | None) -> None:
    """Shortens a file to the size that it had at a checkpoint; None means that it was not there, and removes it."""
    if size is None:
        path.unlink(missing_ok=True)
    elif path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def cut_back_to_lines(path: Path, size: int | None) -> None:
    """Shortens a text file like `cut_back`, and further to the end of its last whole line."""
    cut_back(path, size)
    if path.exists():
        content = path.read_bytes()
        cut_back(path, content.rfind(b"\n") + 1)
