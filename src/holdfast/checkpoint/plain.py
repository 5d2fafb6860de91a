"""What a checkpoint may hold: plain values and tensors, and how the place of each is spelled."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from holdfast.checkpoint.advice import advice_for, name_of
from holdfast.errors import CheckpointError

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead from the whole state to one of its values."""

MAX_DEPTH = 100
LARGEST_INTEGER_BYTES = 255
LONGEST_TEXT = 1 << 30
"""Characters or bytes: four times as many are the most that PyTorch's form of a pickle can count."""

COUNTS_BELOW = 1 << 63
"""Torch's counts are smaller."""

_CONTAINERS = (dict, OrderedDict, Counter, list, tuple)
"""Stored as a plain dict, list or tuple; a Counter is what torch's `MultiStepLR` keeps its milestones in."""
_OF_FIXED_SIZE = frozenset({bool, float, type(None)})


def spell(path: KeyPath) -> str:
    """Gives the place of a value as a user would write it: `optimizer_state_dict.param_groups[0].lr`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "state"


def tensors_of(state: Mapping[str, Any]) -> dict[KeyPath, Tensor]:
    """Gives the tensors of a state by their place, in order, and makes sure that all the rest is plain.

    Raises:
        CheckpointError: For the first value that a checkpoint cannot hold, with its place and what to do.
    """
    found: dict[KeyPath, Tensor] = {}
    _visit(dict(state), (), (), found)
    return found


def _visit(value: Any, path: KeyPath, above: tuple[int, ...], found: dict[KeyPath, Tensor]) -> None:
    if isinstance(value, Tensor):
        found[path] = _storable(value, path)
    elif type(value) in _CONTAINERS:
        _refuse_circles(value, path, above)
        above = (*above, id(value))
        if isinstance(value, dict):
            _check_keys(value, path)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if type(item) not in _OF_FIXED_SIZE:
                _visit(item, (*path, key), above, found)
    elif problem := _too_large(value):
        raise CheckpointError(f"`{spell(path)}` {problem}.")
    elif type(value) not in _OF_FIXED_SIZE and type(value) not in (int, str, bytes):
        raise CheckpointError(
            f"`{spell(path)}` must be a plain value (dict, list, tuple, str, int, float, bool, None, bytes) "
            f"or a tensor, but got {name_of(value)}; {advice_for(value)}."
        )


def _check_keys(value: dict[Any, Any], path: KeyPath) -> None:
    for key in value:
        if type(key) not in (str, int):
            raise CheckpointError(
                f"A key of `{spell(path)}` must be a string or an integer, but got {key!r} ({name_of(key)}); "
                f"use str(...) or int(...)."
            )
        if problem := _too_large(key):
            raise CheckpointError(f"A key of `{spell(path)}` {problem}.")


def _refuse_circles(value: Any, path: KeyPath, above: tuple[int, ...]) -> None:
    if id(value) in above:
        raise CheckpointError(f"`{spell(path)}` must not contain itself; leave it out.")
    if len(above) == MAX_DEPTH:
        raise CheckpointError(f"`{spell(path)}` must not lie more than {MAX_DEPTH} levels deep; use fewer levels.")


def _too_large(value: Any) -> str | None:
    """Says what is wrong with a number or text that PyTorch could not read."""
    if isinstance(value, int) and value.bit_length() >= 8 * LARGEST_INTEGER_BYTES:
        bits = value.bit_length()
        return f"must have fewer than {8 * LARGEST_INTEGER_BYTES} bits, but got an integer of {bits}; use a string"
    if isinstance(value, str | bytes) and len(value) >= LONGEST_TEXT:
        return f"must be shorter than {LONGEST_TEXT}, but got {len(value)} characters or bytes; use a uint8 tensor"
    return None


def is_too_large(size: Sequence[int], dtype: torch.dtype) -> bool:
    """Says whether torch could not count the bytes of a tensor if it were laid out without holes."""
    count = math.prod(size) or math.prod(length or 1 for length in size)
    return count * dtype.itemsize >= COUNTS_BELOW


def _storable(tensor: Tensor, path: KeyPath) -> Tensor:
    """Gives the plain tensor behind a parameter, with its values as they stand in memory."""
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        if is_lazy(tensor):
            raise CheckpointError(
                f"`{spell(path)}` must have a shape, but belongs to a lazy module that has seen no input; "
                "run one batch through the model first."
            )
        raise CheckpointError(
            f"`{spell(path)}` must be a plain tensor, but got {name_of(tensor)}; {advice_for(tensor)}."
        )
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type == "meta":
        kind = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else str(tensor.layout)
        kind = "meta" if tensor.device.type == "meta" else kind
        raise CheckpointError(
            f"`{spell(path)}` must be a dense tensor with values, but got a {kind} tensor; "
            f"store the dense tensors it is made of."
        )
    if is_too_large(tensor.shape, tensor.dtype):
        raise CheckpointError(
            f"`{spell(path)}` must have fewer than 2^63 bytes, but got the shape {tuple(tensor.shape)}; "
            "store what it is expanded from."
        )
    return tensor.detach().resolve_conj().resolve_neg()
