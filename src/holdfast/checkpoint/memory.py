"""Tensors as bytes, and bytes as tensors, over the same memory."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any, cast

import torch
from torch import Tensor

from holdfast.checkpoint.skeleton import TensorNote

_LARGE = 4 << 20


def fresh(length: int) -> Tensor:
    """Gives new memory as a one-dimensional tensor of bytes."""
    memory = torch.empty(length, dtype=torch.uint8)
    if length >= _LARGE:
        _ask_for_large_pages(memory.data_ptr(), length)
    return memory


def _ask_for_large_pages(start: int, length: int) -> None:
    """Has Linux give memory in large pages: filling it for the first time then takes half as long."""
    if sys.platform == "linux":
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (start + length - first) // mmap.PAGESIZE * mmap.PAGESIZE
        # A wish: where it is not granted, nothing is lost.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(whole), mmap.MADV_HUGEPAGE)


def as_buffer(memory: Tensor) -> memoryview:
    """Gives bytes on the CPU in the form that system calls read from and write to."""
    return memoryview(cast(Any, memory.numpy()))


def bytes_of(storage: torch.UntypedStorage) -> Tensor:
    """Gives all bytes of a storage, on its device."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(cast(Any, storage))


def tensor_in(memory: Tensor, note: TensorNote) -> Tensor:
    """Gives the noted tensor as a view of the bytes of its storage."""
    offset = int(memory.storage_offset()) // note.dtype.itemsize + note.offset
    # Not torch.empty(0, dtype=...), which warns for some types.
    empty = torch.empty(0, dtype=torch.uint8).view(note.dtype)
    return empty.set_(cast(Any, memory.untyped_storage()), offset, note.size, note.stride)


def is_laid_out_as(target: Tensor, note: TensorNote) -> bool:
    """Says whether a stored tensor fills its storage, and a live one its own memory in the very same way."""
    fills_storage = note.offset == 0 and target.nbytes == note.storage_length == note.stop()
    as_it_stands = target.is_cpu and not target.is_conj() and not target.is_neg()
    return fills_storage and as_it_stands and target.stride() == note.stride


def memory_of(target: Tensor) -> Tensor:
    """Gives the bytes of a live tensor without holes, on the CPU."""
    start = int(target.storage_offset()) * target.dtype.itemsize
    return bytes_of(target.untyped_storage())[start : start + target.nbytes]
