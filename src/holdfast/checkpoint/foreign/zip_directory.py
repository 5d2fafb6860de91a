"""The records of a zip archive, read so strictly that no two readers could see different ones.

Records must be stored as they are, one behind the other, each under one harmless name; both descriptions of a record,
before it and in the directory at the end, must agree. What is outside of the records is not used.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.checkpoint.foreign.limits import Limits
from holdfast.checkpoint.foreign.refusals import Broken, Trap, shown

FIRST_BYTES = b"PK\x03\x04"

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_ZIP64_END = struct.Struct("<IQHHIIQQQQ")
_ZIP64_LOCATOR = struct.Struct("<IIQI")
_ZIP64_TAG = 1
_SEE_ZIP64 = 0xFFFFFFFF
_COUNT_SEE_ZIP64 = 0xFFFF
_IS_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LENGTHS_FOLLOW = 0x8
_LENGTHS_BYTES = 24
"""The most that may follow a record: its checksum and lengths once more."""
_NAMES_ARE_UTF8 = 0x800
_LONGEST_NAME = 1000
_HARMLESS_NAME = re.compile(r"(?!/|[A-Za-z]:|(?:.*/)?\.\.(?:/|$))[^\\\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class ZipRecord:
    """One named byte string of an archive."""

    name: str
    offset: int
    """Where its header starts."""
    start: int
    """Where its content starts."""
    length: int
    checksum: int
    """The CRC-32 that the archive gives for it."""


def read_records(data: mmap.mmap, limits: Limits) -> dict[str, ZipRecord]:
    """Gives the records by their names, in the order of the directory.

    Raises:
        Broken: When the archive is cut off or has no directory.
        Trap: When it is not as strict as this reader.
    """
    try:
        count, start, stop = _directory_place(data)
        if count > limits.records:
            raise Trap(f"it is an archive of more than {limits.records} records")
        records = list(_entries(data, count, start, stop))
    except struct.error as error:
        raise Broken("it is an archive whose directory is cut off") from error
    _refuse_overlaps_and_gaps(records, start)
    by_name = {record.name: record for record in records}
    if len(by_name) != len(records):
        raise Trap("it is an archive with several records of the same name")
    return by_name


def _directory_place(data: mmap.mmap) -> tuple[int, int, int]:
    """Gives the number of records, and where the directory starts and ends."""
    end = len(data) - _END.size
    if end < 0 or data[end : end + 4] != b"PK\x05\x06":
        raise Broken("it is an archive that is cut off, or has something behind its end")
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(data, end)
    if disk or first_disk or here != count:
        raise Trap("it is an archive in several parts")
    stop = end
    locator = end - _ZIP64_LOCATOR.size
    if locator >= 0 and data[locator : locator + 4] == b"PK\x06\x07":
        stop = locator - _ZIP64_END.size
        small, (count, length, start) = (count, length, start), _zip64_place(data, locator, stop)
        markers = (_COUNT_SEE_ZIP64, _SEE_ZIP64, _SEE_ZIP64)
        if any(
            one not in (two, marker) for one, two, marker in zip(small, (count, length, start), markers, strict=True)
        ):
            raise Trap("it is an archive with two ends that differ")
    if start + length != stop or count * _CENTRAL.size > length:
        raise Trap("it is an archive whose directory does not lie where it says")
    return count, start, stop


def _zip64_place(data: mmap.mmap, locator: int, expected: int) -> tuple[int, int, int]:
    _, disk, place, disks = _ZIP64_LOCATOR.unpack_from(data, locator)
    if place != expected or expected < 0 or disk or disks > 1:
        raise Trap("it is an archive whose end does not lie where it says")
    signature, size, _, _, disk, first_disk, here, count, length, start = _ZIP64_END.unpack_from(data, place)
    if signature != 0x06064B50 or size != _ZIP64_END.size - 12 or disk or first_disk or here != count:
        raise Trap("it is an archive whose end is not as it must be")
    return count, length, start


def _entries(data: mmap.mmap, count: int, place: int, stop: int) -> Iterator[ZipRecord]:
    for _ in range(count):
        fields = _CENTRAL.unpack_from(data, place)
        name_length, extra_length, comment_length = fields[10:13]
        name_at = place + _CENTRAL.size
        extra_at = name_at + name_length
        place = extra_at + extra_length + comment_length
        if fields[0] != 0x02014B50 or place > stop:
            raise Broken("it is an archive whose directory is damaged")
        raw = data[name_at:extra_at]
        name = _name(raw)
        length, offset = _length_and_offset(fields, data[extra_at : extra_at + extra_length], name)
        start = _content_start(data, fields, raw, length, offset)
        yield ZipRecord(name, offset, start, length, fields[7])
    if place != stop:
        raise Broken("it is an archive whose directory is damaged")


def _name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise Trap("it is an archive with a record whose name is not text") from error
    if not _HARMLESS_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise Trap(f"it is an archive with a record under the name `{shown(name)}`, which leads elsewhere")
    return name


def _length_and_offset(fields: tuple[int, ...], extra: bytes, name: str) -> tuple[int, int]:
    """Gives the length of a record and the place of its header, after refusing what is not stored as it is."""
    flags, method, packed, length, offset = fields[3], fields[4], fields[8], fields[9], fields[16]
    if flags & _IS_ENCRYPTED:
        raise Trap(f"it is an archive whose record `{shown(name)}` is encrypted")
    if flags & ~(_LENGTHS_FOLLOW | _NAMES_ARE_UTF8):
        raise Trap(f"it is an archive whose record `{shown(name)}` is stored in an unusual way")
    large = _zip64_numbers(extra)
    length, packed, offset = (
        large.pop(0) if large and number == _SEE_ZIP64 else number for number in (length, packed, offset)
    )
    if method or packed != length:
        raise Trap(
            f"it is an archive whose record `{shown(name)}` is compressed",
            "unpack it and pack it again without compression if you trust it",
        )
    return length, offset


def _zip64_numbers(extra: bytes) -> list[int]:
    """Gives the numbers in the field for those that do not fit into 32 bits."""
    place = 0
    while place + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, place)
        if tag == _ZIP64_TAG:
            whole = min(length, len(extra) - place - 4) // 8
            return list(struct.unpack_from(f"<{whole}Q", extra, place + 4))
        place += 4 + length
    return []


def _content_start(data: mmap.mmap, fields: tuple[int, ...], raw: bytes, length: int, offset: int) -> int:
    """Gives where the content of a record starts, after comparing its header with the directory."""
    if offset + _LOCAL.size > len(data):
        raise Trap("it is an archive with a record outside of the file")
    local = _LOCAL.unpack_from(data, offset)
    name_at = offset + _LOCAL.size
    start = name_at + local[9] + local[10]
    agree = local[0] == 0x04034B50 and local[2] == fields[3] and local[3] == 0
    agree = agree and data[name_at : name_at + local[9]] == raw
    lengths = {length, _SEE_ZIP64, 0} if local[2] & _LENGTHS_FOLLOW else {length, _SEE_ZIP64}
    if not agree or not lengths.issuperset(local[7:9]):
        raise Trap(f"it is an archive that describes its record `{shown(raw.decode())}` in two ways")
    return start


def _refuse_overlaps_and_gaps(records: list[ZipRecord], directory: int) -> None:
    position, gap = 0, 0
    for record in sorted(records, key=lambda record: record.offset):
        if record.offset < position:
            raise Trap(f"it is an archive whose record `{shown(record.name)}` lies over another one")
        if record.offset > position + gap:
            raise Trap(f"it is an archive with something before its record `{shown(record.name)}`")
        position, gap = record.start + record.length, _LENGTHS_BYTES
        if position > directory:
            raise Trap(f"it is an archive whose record `{shown(record.name)}` is longer than the file")
    if directory > position + gap:
        raise Trap("it is an archive with something before its directory")
