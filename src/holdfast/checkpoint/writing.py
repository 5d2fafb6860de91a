"""From a plan to bytes on a descriptor: space first, then every byte once, without copies of the tensors."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.checkpoint import layout as zip_layout
from holdfast.checkpoint.checksum import ENGINE, PIECE, crc32, crc32_of_each, threads_to_use
from holdfast.checkpoint.encoding import Encoded
from holdfast.checkpoint.layout import Record
from holdfast.checkpoint.manifest import digest_of, manifest
from holdfast.checkpoint.plan import Plan
from holdfast.errors import CheckpointError

_LARGE = 64 * 1024
_BATCH = 1024 * 1024
_WRITEBACK = 8 * 1024 * 1024
_SYNC_FILE_RANGE_WRITE = 2
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True)
class WriteReport:
    """What has been written."""

    size: int
    """Bytes of the file."""
    records: int
    digest: str
    """SHA-256 over the names, lengths and checksums of all records: the same for the same state."""


def write_plan(descriptor: int, plan: Plan) -> WriteReport:
    """Writes the planned file to an empty one, without making it durable.

    Raises:
        OSError: When there is no space (before anything is written) or writing fails.
    """
    _reserve(descriptor, plan.layout.size)
    checksums = _write_large_contents(descriptor, plan)
    if plan.skeleton.length >= _LARGE:
        checksums[0] = _write_skeleton(descriptor, plan.skeleton, plan.layout.records[0])
    digest = _write_the_rest(descriptor, plan, checksums)
    return WriteReport(plan.layout.size, len(plan.layout.records), digest)


def _reserve(descriptor: int, size: int) -> None:
    """Takes the space for the whole file, so that a full disk shows before anything is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise


def _write_large_contents(descriptor: int, plan: Plan) -> dict[int, int]:
    """Writes the contents of the large records, and gives their checksums by the position of the record."""
    scratch = threading.local()
    records = plan.layout.records
    large = [index for index, content in enumerate(plan.contents, 1) if content.nbytes >= _LARGE]

    def copied(piece: memoryview) -> memoryview:
        """Gives the bytes as they are now: what is checked and what is written are the same, whoever changes them."""
        if not hasattr(scratch, "memory"):
            scratch.memory = memoryview(bytearray(PIECE))
        scratch.memory[: len(piece)] = piece
        return scratch.memory[: len(piece)]

    def write_piece(number: int, start: int, stop: int, so_far: int) -> int:
        index = large[number]
        piece = copied(plan.contents[index - 1][start:stop])
        checksum = crc32(piece, so_far)
        _write_early(descriptor, piece, records[index].start + start)
        return checksum

    # A fast checksum is lost in the time of writing; a slow one wants a second thread.
    threads = threads_to_use() if ENGINE == "zlib" else 1
    found = crc32_of_each([records[index].length for index in large], write_piece, threads=threads)
    return dict(zip(large, found, strict=True))


def _write_skeleton(descriptor: int, skeleton: Encoded, record: Record) -> int:
    """Writes an encoded state, which never stands in memory whole, and gives its checksum."""
    waiting, place, checksum = bytearray(), record.start, 0

    def put(data: bytes) -> None:
        waiting.extend(data)
        if len(waiting) >= PIECE:
            write_waiting()

    def write_waiting() -> None:
        nonlocal place, checksum
        if place + len(waiting) <= record.stop:
            checksum = crc32(waiting, checksum)
            _write_early(descriptor, waiting, place)
        place += len(waiting)
        waiting.clear()

    skeleton.send(put)
    write_waiting()
    if place != record.stop:
        raise CheckpointError(
            f"`state` must not change while it is saved, but {record.length} bytes of plain values became "
            f"{place - record.start}; save between two steps, or save a copy."
        )
    return checksum


def _write_the_rest(descriptor: int, plan: Plan, checksums: Mapping[int, int]) -> str:
    """Writes the headers, the contents of the small records and the central directory, in runs as long as possible.

    Gives the digest of the whole; `checksums` are those of the large records.
    """
    *records, last = plan.layout.records
    run, run_start = bytearray(), 0
    found: list[int] = []
    for index, (record, content) in enumerate(zip(records, (plan.skeleton, *plan.contents), strict=True)):
        # As it is now: what is checked and what is written are the same.
        small = bytes(content) if record.length < _LARGE else b""
        found.append(checksums[index] if index in checksums else crc32(small))
        run += zip_layout.header(record, found[-1]) + small
        if record.length >= _LARGE or len(run) >= _BATCH:
            _write_at(descriptor, run, run_start)
            run, run_start = bytearray(), record.stop
    digest = digest_of(records, found)
    content = manifest(digest)
    found.append(crc32(content))
    run += zip_layout.header(last, found[-1]) + content + zip_layout.directory(plan.layout, found)
    _write_at(descriptor, run, run_start)
    return digest


def _write_early(descriptor: int, data: bytearray | memoryview, place: int) -> None:
    """Writes bytes of a large content, and hands them to the disk before they are asked for."""
    _write_at(descriptor, data, place)
    _start_writeback(descriptor, place, place + len(data))


def _write_at(descriptor: int, data: bytearray | memoryview, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Gives Linux's call that starts writing to the disk early; fsync then finds little left to do."""
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_sync_file_range = _find_sync_file_range()


def _start_writeback(descriptor: int, start: int, stop: int) -> None:
    """Hands the last 8 MB to the disk when a write from `start` to `stop` has filled them up."""
    filled = stop // _WRITEBACK * _WRITEBACK
    if _sync_file_range is not None and start < filled:
        _sync_file_range(descriptor, filled - _WRITEBACK, _WRITEBACK, _SYNC_FILE_RANGE_WRITE)
