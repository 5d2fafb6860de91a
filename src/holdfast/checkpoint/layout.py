"""Where every byte of a checkpoint file lies: a zip archive of stored records with exactly one possible shape.

    header, padding, content      for each record, in order
    central directory             one entry for each record
    end of central directory      with the zip64 forms where a number needs them

All bytes outside the contents are a function of the records' names, lengths and checksums. Whoever verifies a file
derives them anew and compares; so none of them can change unnoticed, and nothing can hide between records.
Contents start at multiples of 4096 (large records) or 64 (small ones), so that they can be mapped into memory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = 4096
SMALL_ALIGNMENT = 64
ZIP64_FROM = 0xFFFFFFFF
"""The first length or offset that is written in the zip64 form."""
END_LENGTH = 22
ZIP64_END_LENGTH = 56 + 20

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_ZIP64_END = struct.Struct("<IQHHIIQQQQ")
_ZIP64_LOCATOR = struct.Struct("<IIQI")
_NAMES_ARE_UTF8 = 0x800
_FIRST_OF_JANUARY_1980 = 0x21
_PADDING_TAG = 0x4246  # "FB", as PyTorch marks its own padding
_ZIP64_TAG = 1
_SEE_ZIP64 = 0xFFFFFFFF
_COUNT_SEE_ZIP64 = 0xFFFF
_LONGEST_ENTRY = _CENTRAL.size + 64 + 20
"""Of the central directory: names have fewer than 64 bytes, and the zip64 form adds at most 20."""


@dataclass(frozen=True, slots=True)
class Record:
    """One named byte string of the file, and its place."""

    name: str
    length: int
    offset: int
    """Where its header starts."""
    start: int
    """Where its content starts."""

    @property
    def stop(self) -> int:
        """Gives the place after its last byte, where the next header starts."""
        return self.start + self.length


@dataclass(frozen=True)
class Layout:
    """The places of all records, and the size of the file."""

    records: tuple[Record, ...]
    size: int

    @property
    def directory_offset(self) -> int:
        """Gives the place where the central directory starts."""
        return self.records[-1].stop


class LayoutError(Exception):
    """Bytes that this layout would never produce."""


def arrange(contents: Sequence[tuple[str, int]]) -> Layout:
    """Gives every record its place, from the names and lengths in order (at least one)."""
    records = []
    position = 0
    for name, length in contents:
        header = _LOCAL.size + len(name.encode()) + len(_zip64_field(length, length))
        alignment = PAGE if length >= PAGE else SMALL_ALIGNMENT
        start = -(-(position + header + 4) // alignment) * alignment
        records.append(Record(name, length, position, start))
        position = start + length
    directory_length = sum(len(_directory_entry(record, 0)) for record in records)
    return Layout(tuple(records), position + directory_length + len(_end(len(records), directory_length, position)))


def header(record: Record, checksum: int) -> bytes:
    """Gives the bytes before the content of a record: its header, and zeros up to the content's alignment."""
    name = record.name.encode()
    zip64 = _zip64_field(record.length, record.length)
    padding = record.start - record.offset - _LOCAL.size - len(name) - len(zip64) - 4
    extra = zip64 + struct.pack("<HH", _PADDING_TAG, padding) + bytes(padding)
    length = _or_see_zip64(record.length)
    fixed = _LOCAL.pack(
        0x04034B50,
        45 if zip64 else 20,
        _NAMES_ARE_UTF8,
        0,
        0,
        _FIRST_OF_JANUARY_1980,
        checksum,
        length,
        length,
        len(name),
        len(extra),
    )
    return fixed + name + extra


def directory(layout: Layout, checksums: Sequence[int]) -> bytes:
    """Gives all bytes after the last content: the central directory and its end."""
    entries = b"".join(map(_directory_entry, layout.records, checksums))
    return entries + _end(len(layout.records), len(entries), layout.directory_offset)


def read_end(tail: bytes, size: int) -> tuple[int, int]:
    """Gives the number of records and the start of the central directory, from the last bytes of a file of `size`.

    The directory reaches to the end, and is no longer than so many records can make it: reading it takes little.

    Raises:
        LayoutError: When there is no end of a central directory, or it names a directory that cannot be.
    """
    if len(tail) < END_LENGTH:
        raise LayoutError("the file is too short")
    signature, _, _, _, count, length, offset, _ = _END.unpack(tail[-END_LENGTH:])
    if signature != 0x06054B50:
        raise LayoutError("the end of the file is missing")
    end = END_LENGTH
    if offset == _SEE_ZIP64:
        end += ZIP64_END_LENGTH
        if len(tail) < end:
            raise LayoutError("the end of the file is missing")
        *_, count, length, offset = _ZIP64_END.unpack(tail[-end:][: _ZIP64_END.size])
    if offset + length + end != size or not count * _CENTRAL.size < length < count * _LONGEST_ENTRY:
        raise LayoutError(
            f"the end of the file names a directory of {count} records in {length} bytes from byte {offset} on, "
            "which cannot be"
        )
    return count, offset


def read_directory(entries: bytes, count: int) -> tuple[list[tuple[str, int]], list[int]]:
    """Gives names and lengths, and the checksums, that a central directory claims; nothing is checked.

    Raises:
        LayoutError: When the entries are cut off or their names are not text.
    """
    contents, checksums = [], []
    position = 0
    try:
        for _ in range(count):
            fields = _CENTRAL.unpack_from(entries, position)
            checksum, length, name_length, extra_length = fields[7], fields[9], fields[10], fields[11]
            position += _CENTRAL.size
            name = entries[position : position + name_length].decode()
            if length == _SEE_ZIP64:
                (length,) = struct.unpack_from("<Q", entries, position + name_length + 4)
            contents.append((name, length))
            checksums.append(checksum)
            position += name_length + extra_length
    except (struct.error, UnicodeDecodeError) as error:
        raise LayoutError("the central directory is damaged") from error
    return contents, checksums


def _directory_entry(record: Record, checksum: int) -> bytes:
    name = record.name.encode()
    zip64 = _zip64_field(record.length, record.length, record.offset)
    length = _or_see_zip64(record.length)
    fixed = _CENTRAL.pack(
        0x02014B50,
        45 if zip64 else 20,
        45 if zip64 else 20,
        _NAMES_ARE_UTF8,
        0,
        0,
        _FIRST_OF_JANUARY_1980,
        checksum,
        length,
        length,
        len(name),
        len(zip64),
        0,
        0,
        0,
        0,
        _or_see_zip64(record.offset),
    )
    return fixed + name + zip64


def _end(count: int, length: int, offset: int) -> bytes:
    zip64 = b""
    if count >= _COUNT_SEE_ZIP64 or max(length, offset) >= ZIP64_FROM:
        zip64 = _ZIP64_END.pack(0x06064B50, 44, 45, 45, 0, 0, count, count, length, offset)
        zip64 += _ZIP64_LOCATOR.pack(0x07064B50, 0, offset + length, 1)
        count, length, offset = _COUNT_SEE_ZIP64, _SEE_ZIP64, _SEE_ZIP64
    return zip64 + _END.pack(0x06054B50, 0, 0, count, count, length, offset, 0)


def _zip64_field(*numbers: int) -> bytes:
    """Gives the extra field that holds those of the numbers that do not fit into 32 bits; empty if all fit."""
    large = [number for number in numbers if number >= ZIP64_FROM]
    return struct.pack(f"<HH{len(large)}Q", _ZIP64_TAG, 8 * len(large), *large) if large else b""


def _or_see_zip64(number: int) -> int:
    return _SEE_ZIP64 if number >= ZIP64_FROM else number
