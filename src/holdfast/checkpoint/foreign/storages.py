"""The bytes that the tensors of a file of PyTorch lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from holdfast.checkpoint.foreign.graph import Name, StorageId
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.parts import Part
from holdfast.checkpoint.foreign.refusals import Trap, shown
from holdfast.checkpoint.foreign.rewriting import usual_name
from holdfast.checkpoint.foreign.tensors import Bytes, whole

_KINDS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "QInt8": torch.int8,
    "QUInt8": torch.uint8,
    "QInt32": torch.int32,
    "QUInt4x2": torch.uint8,
    "QUInt2x4": torch.uint8,
}
_DTYPES = {(module, f"{kind}Storage"): dtype for kind, dtype in _KINDS.items() for module in ("torch", "torch.cuda")}
_DTYPES["torch.storage", "UntypedStorage"] = torch.uint8


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes, and the type of the numbers in them as far as it is known: single bytes where it is not."""

    stored: Bytes
    dtype: torch.dtype


def part_of(stored: Bytes, dtype: torch.dtype, spending: Spending) -> Part:
    """Gives a storage as what tensors are made of; by itself it is a row of numbers."""
    return Part(Storage(stored, dtype), lambda: whole(stored, dtype, spending))


def dtype_of(kind: Name) -> torch.dtype:
    """Gives the type of the numbers in a kind of storage.

    Raises:
        Trap: When there is no such kind.
    """
    dtype = _DTYPES.get(usual_name(kind))
    if dtype is None:
        raise Trap(f"it has a tensor of the unknown kind `{shown(kind.text)}`")
    return dtype


def storage_id(node: Any) -> StorageId:
    """Gives the reference to a storage that a persistent id says.

    Raises:
        Trap: When it is anything else.
    """
    match node:
        case ("storage", Name() as kind, str() as key, _, int() as count, *view) if count >= 0 and len(view) <= 1:
            return StorageId(kind, key, count, _view(view[0]) if view else None)
    raise Trap("it refers to something outside of the file (a persistent id)")


def _view(node: Any) -> tuple[str, int, int] | None:
    match node:
        case None:
            return None
        case (str() as key, int() as start, int() as count) if start >= 0 and count >= 0:
            return key, start, count
    raise Trap("it refers to something outside of the file (a persistent id)")
