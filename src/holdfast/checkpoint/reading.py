"""From a file to verified bytes: nothing is interpreted before every byte of it has been checked.

A file stays open from the first check to the last use, and the bytes that are used are those that were checked:
each piece is read into its destination and checked there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from holdfast.checkpoint import layout as zip_layout
from holdfast.checkpoint.checksum import crc32
from holdfast.checkpoint.layout import Layout, LayoutError, Record, arrange
from holdfast.checkpoint.manifest import digest_of, manifest, refuse_newer
from holdfast.checkpoint.plan import CONSTANTS, MANIFEST, SKELETON, STORAGES_FROM, record_names
from holdfast.errors import CheckpointError, DamagedCheckpoint

_LONGEST_MANIFEST = 64 * 1024
"""Bytes; a newer format may need more of them than ours."""
_FIRST_HEADER = zip_layout.header(Record(SKELETON, length=0, offset=0, start=zip_layout.PAGE), checksum=0)


@dataclass(frozen=True)
class OpenFile:
    """A file that is being checked or read."""

    path: Path
    descriptor: int
    size: int

    def damaged(self, what: str) -> DamagedCheckpoint:
        """Gives the error that says what is wrong with this file."""
        return DamagedCheckpoint(
            f"`{self.path}` must hold the bytes that were written, but {what}; use an older checkpoint or a copy."
        )

    def read(self, start: int, length: int) -> bytes:
        """Gives bytes of the file.

        Raises:
            DamagedCheckpoint: When the file has become too short for them.
        """
        data = bytearray(length)
        self.read_into(memoryview(data), start)
        return bytes(data)

    def read_into(self, destination: memoryview, start: int) -> None:
        """Fills `destination` with the bytes from `start` on (raises like `read`)."""
        while destination:
            count = os.preadv(self.descriptor, [destination], start)
            if count == 0:
                raise self.damaged("it has become shorter while it was read")
            destination, start = destination[count:], start + count


@dataclass(frozen=True)
class Index:
    """Where the records lie, and the checksum that each must have."""

    layout: Layout
    checksums: tuple[int, ...]

    @cached_property
    def storages(self) -> tuple[Record, ...]:
        """Gives the records that hold tensors."""
        return self.layout.records[STORAGES_FROM:-1]


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[OpenFile]:
    """Opens a file for checking and reading.

    Raises:
        OSError: When it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if hasattr(os, "posix_fadvise"):
            # The disk is then asked for more ahead: a wish, which not every file system knows.
            with suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        yield OpenFile(Path(path), descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def read_index(file: OpenFile) -> Index:
    """Gives the index of a file after checking every byte outside the records of tensors and skeleton.

    Raises:
        DamagedCheckpoint: When a byte is not what it must be.
        CheckpointError: When the file is not one of ours, or of a newer format.
    """
    try:
        index = _claimed_index(file)
    except LayoutError as error:
        if _is_foreign(file):
            raise CheckpointError(
                f"`{file.path}` must be a checkpoint that Holdfast wrote, but it is another file; "
                f"turn a foreign checkpoint into one of ours with `holdfast import`."
            ) from error
        raise file.damaged(str(error)) from error
    _check_frame(file, index)
    return index


def _claimed_index(file: OpenFile) -> Index:
    """Gives the index that the central directory claims; it is the only one that makes this very directory."""
    tail_length = min(file.size, zip_layout.END_LENGTH + zip_layout.ZIP64_END_LENGTH)
    count, offset = zip_layout.read_end(file.read(file.size - tail_length, tail_length), file.size)
    found = file.read(offset, file.size - offset)
    contents, checksums = zip_layout.read_directory(found, count)
    if count <= STORAGES_FROM or [name for name, _ in contents] != record_names(count):
        raise LayoutError("its records do not have the names that they must have")
    if sum(length for _, length in contents) > file.size:
        raise LayoutError("its records are longer than the file")
    layout = arrange(contents)
    _refuse_newer_format(file, layout.records[-1], checksums[-1])
    if layout.size != file.size:
        raise LayoutError(f"it has {file.size} bytes instead of {layout.size}")
    if zip_layout.directory(layout, checksums) != found:
        raise LayoutError("its central directory is damaged")
    return Index(layout, tuple(checksums))


def _refuse_newer_format(file: OpenFile, record: Record, checksum: int) -> None:
    if record.length <= _LONGEST_MANIFEST and record.stop <= file.size:
        content = file.read(record.start, record.length)
        if crc32(content) == checksum:
            refuse_newer(content)


def _is_foreign(file: OpenFile) -> bool:
    """Says whether a file that is not whole was never ours: it has bytes, but our marks are missing at both ends."""
    length = min(zip_layout.PAGE, file.size)
    head, tail = file.read(0, length), file.read(file.size - length, length)
    name = SKELETON.encode()
    starts_as_ours = head[:8] == _FIRST_HEADER[: len(head[:8])] and head[30 : 30 + len(name)] == name[: len(head[30:])]
    return any(head) and not starts_as_ours and MANIFEST.encode() not in tail


def _check_frame(file: OpenFile, index: Index) -> None:
    """Checks headers, padding, the constant records and the manifest."""
    for record, checksum in zip(index.layout.records, index.checksums, strict=True):
        if file.read(record.offset, record.start - record.offset) != zip_layout.header(record, checksum):
            raise file.damaged(f"the header or padding of its record `{record.name}` is damaged")
    digest = digest_of(index.layout.records[:-1], index.checksums[:-1])
    known = {**CONSTANTS, MANIFEST: manifest(digest)}
    for record, checksum in zip(index.layout.records, index.checksums, strict=True):
        content = known.get(record.name)
        if content is None:
            continue
        if checksum != crc32(content) or record.length != len(content):
            raise file.damaged(f"its record `{record.name}` does not fit the others")
        if file.read(record.start, record.length) != content:
            raise file.damaged(f"its record `{record.name}` is damaged")


def read_skeleton(file: OpenFile, index: Index) -> bytes:
    """Gives the checked bytes of the skeleton.

    Raises:
        DamagedCheckpoint: When they do not have their checksum.
    """
    record, expected = index.layout.records[0], index.checksums[0]
    skeleton = file.read(record.start, record.length)
    if (found := crc32(skeleton)) != expected:
        raise wrong_checksum(file, f"record `{record.name}`", found, expected)
    return skeleton


def wrong_checksum(file: OpenFile, what: str, found: int, expected: int) -> DamagedCheckpoint:
    """Gives the error for bytes of a file that do not have their checksum."""
    return file.damaged(f"its {what} has the checksum {found:08x} instead of {expected:08x}")
