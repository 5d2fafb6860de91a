"""From a plan to bytes on a descriptor: space first, then every byte once, without copies of the tensors."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.checkpoint import layout as zip_layout
from holdfast.checkpoint.checksum import ENGINE, PIECE, crc32, crc32_of_each, threads_to_use
from holdfast.checkpoint.layout import Layout
from holdfast.checkpoint.manifest import digest_of, manifest
from holdfast.checkpoint.plan import Plan

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
    contents = [content if content.nbytes >= _LARGE else memoryview(bytes(content)) for content in plan.contents]
    checksums = _write_large_contents(descriptor, replace(plan, contents=tuple(contents)))
    digest = digest_of(plan.layout.records[:-1], checksums)
    last = memoryview(manifest(digest))
    checksums.append(crc32(last))
    _write_the_rest(descriptor, plan.layout, [*contents, last], checksums)
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


def _write_large_contents(descriptor: int, plan: Plan) -> list[int]:
    """Writes the contents of the large records and gives the checksums of all but the manifest."""
    scratch = threading.local()
    large = [index for index, content in enumerate(plan.contents) if content.nbytes >= _LARGE]

    def copied(piece: memoryview) -> memoryview:
        """Gives the bytes as they are now: what is checked and what is written are the same, whoever changes them."""
        if not hasattr(scratch, "memory"):
            scratch.memory = memoryview(bytearray(PIECE))
        scratch.memory[: len(piece)] = piece
        return scratch.memory[: len(piece)]

    def write_piece(number: int, start: int, stop: int, so_far: int) -> int:
        index = large[number]
        piece = copied(plan.contents[index][start:stop])
        place = plan.layout.records[index].start + start
        checksum = crc32(piece, so_far)
        _write_at(descriptor, piece, place)
        _start_writeback(descriptor, place, place + len(piece))
        return checksum

    # A fast checksum is lost in the time of writing; a slow one wants a second thread.
    threads = threads_to_use() if ENGINE == "zlib" else 1
    lengths = [plan.contents[index].nbytes for index in large]
    found = dict(zip(large, crc32_of_each(lengths, write_piece, threads=threads), strict=True))
    return [found[index] if index in found else crc32(content) for index, content in enumerate(plan.contents)]


def _write_the_rest(descriptor: int, layout: Layout, contents: Sequence[memoryview], checksums: Sequence[int]) -> None:
    """Writes the headers, the contents of the small records and the central directory, in runs as long as possible."""
    run, run_start = bytearray(), 0
    for record, content, checksum in zip(layout.records, contents, checksums, strict=True):
        run += zip_layout.header(record, checksum)
        if record.length < _LARGE:
            run += content
        if record.length >= _LARGE or len(run) >= _BATCH:
            _write_at(descriptor, run, run_start)
            run, run_start = bytearray(), record.stop
    _write_at(descriptor, run + zip_layout.directory(layout, checksums), run_start)


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
