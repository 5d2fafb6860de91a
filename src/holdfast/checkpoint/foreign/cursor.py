"""A place in the bytes of a file that moves on as they are read."""

from __future__ import annotations

import mmap

from holdfast.checkpoint.foreign.refusals import Broken


class Cursor:
    """Reads bytes one after the other, and never one that is not there.

    Args:
        data: The bytes.
        position: Where reading starts.
    """

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes | mmap.mmap, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.end = len(data)

    def take(self, count: int) -> bytes:
        """Gives the next bytes.

        Raises:
            Broken: When there are fewer.
        """
        start = self.position
        stop = start + count
        if stop > self.end:
            raise Broken("it ends in the middle of a value")
        self.position = stop
        return self.data[start:stop]

    def byte(self) -> int:
        """Gives the next byte as a number.

        Raises:
            IndexError: When there is none.
        """
        value = self.data[self.position]
        self.position += 1
        return value

    def number(self, width: int) -> int:
        """Gives the next bytes as a number without a sign, its lowest byte first (raises like `take`)."""
        return self.byte() if width == 1 else int.from_bytes(self.take(width), "little")

    def counted(self, width: int) -> bytes:
        """Gives bytes that follow their number, which is `width` bytes wide (raises like `take`)."""
        return self.take(self.number(width))

    def line(self) -> bytes:
        """Gives the bytes up to the end of the line, which is passed over (raises like `take`)."""
        stop = self.data.find(b"\n", self.position)
        if stop < 0:
            raise Broken("it ends in the middle of a line")
        taken = self.take(stop - self.position)
        self.position += 1
        return taken

    def skip(self, count: int) -> None:
        """Passes over bytes (raises like `take`)."""
        if self.position + count > self.end:
            raise Broken("it ends in the middle of a value")
        self.position += count
