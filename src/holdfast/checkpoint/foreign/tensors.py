"""Tensors as views of bytes, after making sure that they lie inside of them."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.refusals import Trap
from holdfast.checkpoint.memory import fresh
from holdfast.checkpoint.skeleton import elements_spanned

ALIGNMENT = 16
"""Tensors whose bytes start at a multiple of this are not copied: it suits the largest number there is."""
_MOST_DIMENSIONS = 64
_LARGEST = 1 << 48


class Bytes:
    """The bytes of tensors, and the order in which those of one number stand.

    Args:
        memory: The bytes, one-dimensional.
        is_swapped: Whether the highest byte of a number comes first.
    """

    def __init__(self, memory: Tensor, *, is_swapped: bool = False) -> None:
        self.length = len(memory)
        self._memory = memory
        self._is_swapped = is_swapped
        self._turned: dict[int, Tensor] = {}

    def between(self, start: int, stop: int) -> Bytes:
        """Gives some of the bytes.

        Raises:
            Trap: When they are not all there.
        """
        if stop > self.length:
            raise Trap("it has a tensor that reaches beyond its bytes")
        return Bytes(self._memory[start:stop].clone(), is_swapped=self._is_swapped)

    def for_numbers(self, dtype: torch.dtype) -> Tensor:
        """Gives the bytes, with the lowest byte of each number first; they are shared by all that ask alike."""
        width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        if not self._is_swapped or width == 1:
            return self._memory
        if width not in self._turned:
            whole = self.length // width * width
            turned = self._memory[:whole].view(-1, width).flip(1).reshape(-1)
            self._turned[width] = torch.cat([turned, self._memory[whole:]])
        return self._turned[width]


def mapped(data: bytes | mmap.mmap, start: int, length: int) -> Tensor:
    """Gives bytes of a file that is mapped into memory, without a copy where they are well aligned."""
    if length == 0:
        return fresh(0)
    if isinstance(data, bytes):
        return torch.frombuffer(bytearray(memoryview(data)[start : start + length]), dtype=torch.uint8)
    bytes_there = torch.frombuffer(data, dtype=torch.uint8, count=length, offset=start)
    if start % ALIGNMENT == 0:
        return bytes_there
    try:
        return bytes_there.clone()
    except RuntimeError as error:
        raise Trap("its tensors do not fit into memory", "open it on a larger machine") from error


def whole(stored: Bytes, dtype: torch.dtype, spending: Spending) -> Tensor:
    """Gives all bytes as a row of numbers."""
    count = stored.length // dtype.itemsize
    return view(stored, dtype, (0, (count,), (1,)), spending)


def view(stored: Bytes, dtype: torch.dtype, place: tuple[Any, Any, Any], spending: Spending) -> Tensor:
    """Gives a tensor over bytes, at a place: its offset, size and strides, counted in numbers.

    Raises:
        Trap: When it does not lie inside of the bytes, or is far larger than they are.
    """
    offset, size, stride = place
    if not _are_counts((offset,)) or not _are_counts(size) or not _are_counts(stride) or len(size) != len(stride):
        raise Trap("it has a tensor whose shape is no shape")
    count = math.prod(size)
    if count >= _LARGEST or math.prod(length or 1 for length in size) >= _LARGEST:
        raise Trap("it has a tensor whose shape is no shape")
    if (offset + elements_spanned(size, stride)) * dtype.itemsize > stored.length:
        raise Trap("it has a tensor that reaches beyond its bytes")
    spending.tensor(count * dtype.itemsize)
    memory = stored.for_numbers(dtype).untyped_storage()
    tensor = fresh(0).view(dtype).set_(cast(Any, memory), offset, size, stride)
    if dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
        raise Trap("it has truth values that are neither true nor false")
    return tensor


def _are_counts(numbers: Sequence[Any]) -> bool:
    if not isinstance(numbers, tuple) or len(numbers) > _MOST_DIMENSIONS:
        return False
    return all(type(number) is int and 0 <= number < _LARGEST for number in numbers)
