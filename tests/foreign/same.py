"""Whether two contents are equal to the bit, in values and in types."""

from __future__ import annotations

from typing import Any

import torch

from holdfast.checkpoint.foreign.opaque import Opaque


def bits(tensor: torch.Tensor) -> bytes:
    """Gives the bytes of a tensor's values, in order."""
    values = tensor.detach().resolve_conj().resolve_neg().flatten()
    in_a_row = values.clone().as_strided((len(values),), (1,))
    return in_a_row.view(torch.uint8).numpy().tobytes() if len(values) else b""


def same(left: Any, right: Any) -> bool:
    """Says whether two contents have the same types, values and, in tensors, the same bits."""
    if isinstance(left, torch.Tensor):
        alike = isinstance(right, torch.Tensor) and left.dtype == right.dtype and left.shape == right.shape
        return alike and bits(left) == bits(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        alike = [*map(_spelled, left)] == [*map(_spelled, right)]
        return alike and all(map(same, left.values(), right.values()))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Opaque):
        return left.name == right.name and same(left.content, right.content)
    return _spelled(left) == _spelled(right)


def _spelled(value: Any) -> str:
    """Tells nan, -0.0, True and 1 apart, too."""
    return f"{type(value).__name__} {sorted(map(repr, value)) if isinstance(value, set | frozenset) else repr(value)}"
