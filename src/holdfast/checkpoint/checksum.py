"""CRC-32, the checksum of zip files, at the speed of memory: `isal` when installed, else `zlib_ng`, else `zlib`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

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

__all__ = ["ENGINE", "PIECE", "combine", "crc32", "crc32_of_each", "threads_to_use"]

PIECE = 512 * 1024
"""Bytes that are read or written and checked in one go: they stay in the processor's cache between the two."""
_SHARE = 16 * PIECE
"""Bytes in a row that one thread works through."""

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def threads_to_use() -> int:
    """Gives two where this process may use two processors, else one."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, available)


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
    shares = [
        (index, start, min(start + _SHARE, length))
        for index, length in enumerate(lengths)
        for start in range(0, length, _SHARE)
    ]
    found = [0] * len(shares)

    def work(first: int) -> None:
        for number in range(first, len(shares), threads):
            index, start, stop = shares[number]
            for place in range(start, stop, PIECE):
                found[number] = piece_crc32(index, place, min(place + PIECE, stop), found[number])

    if threads == 1 or sum(lengths) <= 2 * PIECE:
        threads = 1
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    whole = [0] * len(lengths)
    for (index, start, stop), share in zip(shares, found, strict=True):
        whole[index] = share if start == 0 else combine(whole[index], share, stop - start)
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
