"""What a state consists of at one moment: its skeleton, and the bytes of its storages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.encoding import Encoded, encode
from holdfast.checkpoint.memory import bytes_of
from holdfast.checkpoint.plain import tensors_of
from holdfast.checkpoint.skeleton import TensorNote, elements_spanned


@dataclass(frozen=True)
class Snapshot:
    """A state as a skeleton and byte strings.

    The bytes of tensors on the CPU are the live ones, not copies, and so are plain values where there are many: write
    them before they change.
    """

    skeleton: Encoded
    storages: tuple[Tensor, ...]
    """One-dimensional, of bytes, on the CPU."""


@dataclass
class _Shared:
    """One piece of memory, and the part of it that the tensors of the state use."""

    index: int
    memory: torch.UntypedStorage
    start: int
    stop: int
    alignment: int

    def first_byte(self) -> int:
        """Gives where the stored part starts, so that every tensor in it starts at a whole element."""
        return self.start // self.alignment * self.alignment

    def bytes_on_cpu(self) -> Tensor:
        """Gives the used part as bytes; on the CPU they are the memory itself."""
        return bytes_of(self.memory)[self.first_byte() : self.stop].cpu()


def take(state: Mapping[str, Any]) -> Snapshot:
    """Gives the snapshot of a state: tensors that share memory share a storage, parts that none uses are left out.

    Raises:
        CheckpointError: When the state holds anything but plain values and dense tensors.
    """
    tensors = tensors_of(state)
    shared = _shared_memory(tensors.values())
    notes = {path: _note(tensor, shared[_address(tensor)]) for path, tensor in tensors.items()}
    return Snapshot(encode(state, notes), tuple(memory.bytes_on_cpu() for memory in shared.values()))


def _address(tensor: Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr() if tensor.numel() else 0


def _shared_memory(tensors: Iterable[Tensor]) -> dict[tuple[torch.device, int], _Shared]:
    """Gives the pieces of memory that the tensors lie in, each once, in the order of their first tensors."""
    found: dict[tuple[torch.device, int], _Shared] = {}
    for tensor in tensors:
        start, stop = _extent(tensor)
        memory = tensor.untyped_storage()
        one = found.setdefault(_address(tensor), _Shared(len(found), memory, start, stop, tensor.dtype.itemsize))
        one.start, one.stop = min(one.start, start), max(one.stop, stop)
        one.alignment = max(one.alignment, tensor.dtype.itemsize)
        # Two storages may begin at one address (memory lent by NumPy, for example): the longer one holds both.
        one.memory = max(one.memory, memory, key=lambda storage: storage.nbytes())
    return found


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Gives the first byte of the storage that a tensor uses, and the one after the last."""
    if not tensor.numel():
        return 0, 0
    first = int(tensor.storage_offset())
    last = first + elements_spanned(tuple(tensor.shape), tensor.stride())
    return first * tensor.dtype.itemsize, last * tensor.dtype.itemsize


def _note(tensor: Tensor, shared: _Shared) -> TensorNote:
    return TensorNote(
        storage=shared.index,
        storage_length=shared.stop - shared.first_byte(),
        dtype=tensor.dtype,
        offset=(_extent(tensor)[0] - shared.first_byte()) // tensor.dtype.itemsize,
        size=tuple(tensor.shape),
        stride=tensor.stride(),
    )
