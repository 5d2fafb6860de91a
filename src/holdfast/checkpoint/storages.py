"""The bytes of tensors in a file: checked, and read into their places."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from holdfast.checkpoint.checksum import (
    PIECE,
    Share,
    crc32,
    crc32_of_each,
    in_each,
    pieces_of,
    shares_of,
    sum_of_words,
)
from holdfast.checkpoint.plain import spell
from holdfast.checkpoint.plan import STORAGES_FROM
from holdfast.checkpoint.reading import Index, OpenFile, read_skeleton, wrong_checksum
from holdfast.checkpoint.skeleton import SkeletonError, decode, notes_in
from holdfast.errors import DamagedCheckpoint

See: TypeAlias = Callable[[int, int, memoryview], None]
"""Is shown a piece: of which storage, from which byte on, and the bytes."""


def read_storages(file: OpenFile, index: Index, destinations: Sequence[memoryview], *, threads: int) -> None:
    """Reads the bytes of all storages into their destinations, and checks them on their way.

    Args:
        file: The file.
        index: What `read_index` gave for it.
        destinations: For each storage, the memory that its bytes are read into.
        threads: How many pieces may be read and checked at the same time.

    Raises:
        DamagedCheckpoint: When bytes do not have their checksum; it names the record and the tensor.
        OSError: When the file cannot be read.
    """

    def read_piece(number: int, start: int, stop: int, so_far: int) -> int:
        piece = destinations[number][start:stop]
        file.read_into(piece, index.storages[number].start + start)
        return crc32(piece, so_far)

    _compare(file, index, crc32_of_each(_lengths(index), read_piece, threads=threads))


def check_storages(file: OpenFile, index: Index, *, threads: int, see: See = lambda *_: None) -> None:
    """Checks the bytes of all storages; `see` is shown each piece, and none is kept (raises like `read_storages`)."""
    scratch = _Scratch()

    def check_piece(number: int, start: int, stop: int, so_far: int) -> int:
        piece = scratch.piece[: stop - start]
        file.read_into(piece, index.storages[number].start + start)
        see(number, start, piece)
        return crc32(piece, so_far)

    _compare(file, index, crc32_of_each(_lengths(index), check_piece, threads=threads))


class CheckedBytes:
    """The bytes of all storages of a file: checked when it is made, read when they have a place, and the same then.

    A second reading is compared with the first by sums, which cost a fraction of a checksum.

    Raises:
        DamagedCheckpoint, OSError: As `read_storages` does.
    """

    def __init__(self, file: OpenFile, index: Index, *, threads: int) -> None:
        self._file, self._index, self._threads = file, index, threads
        self._sums: dict[tuple[int, int], int] = {}
        check_storages(file, index, threads=threads, see=self._remember)

    def _remember(self, number: int, start: int, piece: memoryview) -> None:
        self._sums[number, start] = sum_of_words(piece)

    def read_into(self, destinations: Sequence[memoryview]) -> None:
        """Reads the bytes of each storage into its destination.

        Raises:
            DamagedCheckpoint: When a byte is not the one that was checked; destinations are then not to be used.
            OSError: When the file cannot be read.
        """

        def read_share(share: Share) -> int:
            for start, stop in pieces_of(share):
                piece = destinations[share.number][start:stop]
                self._file.read_into(piece, self._index.storages[share.number].start + start)
                if sum_of_words(piece) != self._sums[share.number, start]:
                    raise self._file.damaged("they have changed while they were read")
            return 0

        in_each(shares_of(_lengths(self._index)), read_share, threads=self._threads)


class _Scratch(threading.local):
    """Memory for one piece, for each thread its own."""

    def __init__(self) -> None:
        self.piece = memoryview(bytearray(PIECE))


def _lengths(index: Index) -> list[int]:
    return [record.length for record in index.storages]


def _compare(file: OpenFile, index: Index, found: Sequence[int]) -> None:
    for number, expected in enumerate(index.checksums[STORAGES_FROM:-1]):
        if found[number] != expected:
            what = f"record `{index.storages[number].name}`{_tensor_in_words(file, index, number)}"
            raise wrong_checksum(file, what, found[number], expected)


def _tensor_in_words(file: OpenFile, index: Index, storage: int) -> str:
    """Names the first tensor in a storage, in brackets; nothing when the skeleton is damaged, too."""
    try:
        notes = list(notes_in(decode(read_skeleton(file, index))))
    except (SkeletonError, DamagedCheckpoint):
        return ""
    return next((f" (tensor `{spell(path)}`)" for path, note in notes if note.storage == storage), "")
