"""Zip archives that two readers could see differently, or that unfold to far more than they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Entry:
    """A record, and what the two descriptions of it say where that is not the truth."""

    name: str
    content: bytes
    raw_name: bytes | None = None
    local_name: bytes | None = None
    method: int = 0
    local_method: int = 0
    flags: int = 0x800
    length: int | None = None
    local_length: int | None = None
    packed_length: int | None = None
    offset: int | None = None
    checksum: int | None = None
    zip64: bool = False
    written: bool = True
    """Whether the record itself is there, or only its entry in the directory."""


GOOD = (Entry("archive/data.pkl", b"\x80\x02K\x07."), Entry("archive/version", b"3\n"))


def built(entries: Sequence[Entry], *, before: bytes = b"", behind: bytes = b"", end: bytes | None = None) -> bytes:
    """Gives an archive of entries as they say, lies included; `end` takes the place of its end."""
    body, directory = before, b""
    for entry in entries:
        offset = len(body) if entry.offset is None else entry.offset
        if entry.written:
            body += _local(entry) + entry.content
        directory += _central(entry, offset)
    if end is None:
        end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + end + behind


def _local(entry: Entry) -> bytes:
    name = entry.name.encode() if entry.local_name is None else entry.local_name
    length = len(entry.content) if entry.local_length is None else entry.local_length
    numbers = (0x04034B50, 20, entry.flags, entry.local_method, 0, 0x21, _checksum(entry), length, length, len(name), 0)
    return struct.pack("<IHHHHHIIIHH", *numbers) + name


def _central(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode() if entry.raw_name is None else entry.raw_name
    length = len(entry.content) if entry.length is None else entry.length
    packed = length if entry.packed_length is None else entry.packed_length
    extra = b""
    if entry.zip64:
        extra = struct.pack("<HHQQQ", 1, 24, length, packed, offset)
        length = packed = offset = 0xFFFFFFFF
    numbers = (0x02014B50, 45, 45, entry.flags, entry.method, 0, 0x21, _checksum(entry), packed, length)
    return struct.pack("<IHHHHHHIIIHHHHHII", *numbers, len(name), len(extra), 0, 0, 0, 0, offset) + name + extra


def _checksum(entry: Entry) -> int:
    return zlib.crc32(entry.content) if entry.checksum is None else entry.checksum


def first(**changes: object) -> tuple[Entry, ...]:
    """Gives the good archive with a change in its first record."""
    return replace(GOOD[0], **changes), *GOOD[1:]  # pyright: ignore[reportArgumentType]


def zip64_end(count: int, length: int, start: int, *, small: tuple[int, int, int]) -> bytes:
    """Gives the large form of an end, followed by the small one with numbers of its own."""
    large = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + length, 1)
    return large + locator + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, small[0], small[0], small[1], small[2], 0)
