"""How much a file that nobody trusts may ask for, and what it has asked for so far."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from holdfast.checkpoint.foreign.refusals import Trap

ALWAYS_ALLOWED = 256 << 20
"""Bytes that even the smallest file may have made from it."""
SIMPLE = frozenset({type(None), bool, int, float, str, bytes})
"""The kinds of values that nothing lies inside of."""
_CHARACTERS_PER_VALUE = 256
_BYTES_PER_OPERATION = 4096
_TENSOR_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that reading one file may cost; what goes beyond is refused in one line."""

    operations: int = 5_000_000
    """Operations of all pickles in the file together."""
    depth: int = 150
    """Levels of lists, dictionaries, tuples, sets and opaque objects inside each other."""
    values: int = 20_000_000
    """Values that a walk through the content meets, where a value in several places counts in each of them; long
    strings count as one for each 256 characters."""
    pickle_bytes: int = 2 << 30
    """Bytes of one pickle."""
    integer_bytes: int = 1024
    """Bytes of one integer."""
    records: int = 300_000
    """Records of a zip archive."""
    header_bytes: int = 25_000_000
    """Bytes of the header of a safetensors file."""
    growth: int = 16
    """Bytes of tensors, arrays and strings that may come of each byte of the file, beyond the first 256 MiB."""
    seconds: float = 60.0
    """Time for interpreting; the time for checksums is bounded by the size of the file."""


class Spending:
    """What the reading of one file has cost so far.

    Args:
        limits: The most that it may cost.
        file_size: The size of the file, in bytes.
    """

    def __init__(self, limits: Limits, file_size: int) -> None:
        self.limits = limits
        self._operations = limits.operations
        self._bytes = ALWAYS_ALLOWED + limits.growth * file_size
        self._deadline = time.monotonic() + limits.seconds

    def operations(self, count: int) -> None:
        """Counts operations, and looks at the clock.

        Raises:
            Trap: When there have been too many, or it has taken too long.
        """
        self._operations -= count
        if self._operations < 0:
            raise _too_much(f"needs more than {self.limits.operations} operations", "operations")
        self.clock()

    def clock(self) -> None:
        """Looks at the clock (raises like `operations`)."""
        if time.monotonic() > self._deadline:
            raise _too_much(f"takes longer than {self.limits.seconds:g} seconds to interpret", "seconds")

    def bytes(self, count: int) -> None:
        """Counts bytes that are about to be made (raises like `operations`)."""
        self._bytes -= count
        if self._bytes < 0:
            raise _too_much("becomes many times larger than itself when it is read", "growth")

    def tensor(self, count: int) -> None:
        """Counts a tensor that is about to be made, and the bytes of its numbers (raises like `operations`)."""
        self.bytes(_TENSOR_BYTES + count)

    def copy(self, value: Any) -> None:
        """Counts the reading of an argument: it may be long, and shared by many (raises like `operations`)."""
        if isinstance(value, str | bytes):
            self.operations(len(value) // _BYTES_PER_OPERATION)
            self.bytes(len(value))
        elif isinstance(value, dict | list | tuple | set | frozenset):
            self.operations(len(value))

    def depth(self, levels: int) -> None:
        """Refuses what lies too deep (raises like `operations`)."""
        if levels > self.limits.depth:
            raise _too_much(f"is nested more than {self.limits.depth} levels deep", "depth")

    def values(self, count: int) -> None:
        """Refuses what has too many values (raises like `operations`)."""
        if count > self.limits.values:
            raise _too_much(f"unfolds to more than {self.limits.values} values", "values")


def weight_of(value: Any) -> int:
    """Gives how many values a simple value counts for: a long string counts for more than one."""
    return 1 + len(value) // _CHARACTERS_PER_VALUE if isinstance(value, str | bytes) else 1


def _too_much(what: str, limit: str) -> Trap:
    return Trap(f"it {what}", f"raise `Limits.{limit}` if you trust it")
