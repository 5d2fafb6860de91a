"""CRC-32, the checksum of zip files, at the speed of memory: `isal` when installed, else `zlib_ng`, else `zlib`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np

try:
    from isal.isal_zlib import crc32  # pyright: ignore[reportMissingImports]

    ENGINE = "isal"
except ImportError:
    try:
        from zlib_ng.zlib_ng import crc32  # pyright: ignore[reportMissingImports]

        ENGINE = "zlib_ng"
    except ImportError:
        from zlib import crc32

        ENGINE = "zlib"

__all__ = [
    "ENGINE",
    "PIECE",
    "Share",
    "combine",
    "crc32",
    "crc32_of_each",
    "in_each",
    "pieces_of",
    "shares_of",
    "sum_of_words",
    "threads_to_use",
]

PIECE = 512 * 1024
"""Bytes that are read or written and checked in one go: they stay in the processor's cache between the two."""
_SHARE = 16 * PIECE
"""Most bytes of a share."""

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def threads_to_use() -> int:
    """Gives two where this process may use two processors, else one."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, available)


class Share(NamedTuple):
    """Bytes in a row of one of several byte strings, which one thread works through."""

    number: int
    start: int
    stop: int


def shares_of(lengths: Sequence[int]) -> list[Share]:
    """Gives byte strings of these lengths in shares."""
    return [
        Share(number, start, min(start + _SHARE, length))
        for number, length in enumerate(lengths)
        for start in range(0, length, _SHARE)
    ]


def pieces_of(share: Share) -> Iterator[tuple[int, int]]:
    """Gives the first byte of each piece of a share, and the byte after its last."""
    for start in range(share.start, share.stop, PIECE):
        yield start, min(start + PIECE, share.stop)


def in_each(shares: Sequence[Share], work: Callable[[Share], int], *, threads: int) -> list[int]:
    """Gives what `work` gives for each share, with several of them in work at the same time."""
    if threads == 1 or sum(share.stop - share.start for share in shares) <= 2 * PIECE:
        return [work(share) for share in shares]
    found = [0] * len(shares)

    def work_through(first: int) -> None:
        for number in range(first, len(shares), threads):
            found[number] = work(shares[number])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work_through, range(threads)))
    return found


def sum_of_words(data: memoryview) -> int:
    """Gives a sum that a second reading of the same bytes has, too: weaker than a checksum, and much faster."""
    whole = len(data) // 8 * 8
    words = np.frombuffer(data[:whole], np.uint64)
    return (int(words.sum()) + int.from_bytes(data[whole:], "little")) % (1 << 64)


def crc32_of_each(
    lengths: Sequence[int], piece_crc32: Callable[[int, int, int, int], int], *, threads: int
) -> list[int]:
    """Gives the CRC-32 of each of several byte strings, which are worked through in pieces by several threads.

    Args:
        lengths: The length of each byte string.
        piece_crc32: Called with (which byte string, first byte of a piece, byte after its last, CRC-32 so far); it
            reads or writes that piece and gives the CRC-32 that goes on from there.
        threads: How many pieces may be in work at the same time.
    """
    shares = shares_of(lengths)

    def crc32_of(share: Share) -> int:
        so_far = 0
        for start, stop in pieces_of(share):
            so_far = piece_crc32(share.number, start, stop, so_far)
        return so_far

    found = in_each(shares, crc32_of, threads=threads)
    whole = [0] * len(lengths)
    for share, one in zip(shares, found, strict=True):
        so_far = whole[share.number]
        whole[share.number] = one if share.start == 0 else combine(so_far, one, share.stop - share.start)
    return whole


def combine(first: int, second: int, second_length: int) -> int:
    """Gives the CRC-32 of two joined byte strings from that of each and the length of the second."""
    return _multiply(_power_of_x(8 * second_length), first) ^ second


@lru_cache(maxsize=4096)
def _power_of_x(exponent: int) -> int:
    """Gives x to the power of `exponent`, modulo the polynomial."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        exponent >>= 1
    return result


def _multiply(left: int, right: int) -> int:
    """Multiplies two polynomials over GF(2), modulo the polynomial of CRC-32; the highest bit stands for one."""
    product, bit = 0, _ONE
    while bit:
        if left & bit:
            product ^= right
        right = (right >> 1) ^ (_POLYNOMIAL if right & 1 else 0)
        bit >>= 1
    return product
