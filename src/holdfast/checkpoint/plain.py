"""What a checkpoint may hold: plain values and tensors, and how the place of each is spelled."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from holdfast.errors import CheckpointError

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead from the whole state to one of its values."""

MAX_DEPTH = 100
LARGEST_INTEGER_BYTES = 255

_ADVICE = {
    "set": "use sorted(...)",
    "frozenset": "use sorted(...)",
    "complex": "use a list of two floats or a complex tensor",
    "bytearray": "use bytes(...)",
    "argparse.Namespace": "use vars(...)",
    "collections.Counter": "use dict(...)",
    "collections.defaultdict": "use dict(...)",
    "collections.deque": "use list(...)",
    "range": "use list(...)",
    "torch.Size": "use tuple(...)",
    "torch.dtype": "use str(...)",
    "torch.device": "use str(...)",
    "numpy.ndarray": "use torch.from_numpy(...) or .tolist()",
    "numpy.bool": "use bool(...)",
    "numpy.bool_": "use bool(...)",
    "numpy.str_": "use str(...)",
}


def spell(path: KeyPath) -> str:
    """Gives the place of a value as a user would write it: `optimizer_state_dict.param_groups[0].lr`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "state"


_CONTAINERS = (dict, OrderedDict, Counter, list, tuple)
"""Stored as a plain dict, list or tuple; a Counter is what torch's `MultiStepLR` keeps its milestones in."""


def tensors_of(state: Mapping[str, Any]) -> dict[KeyPath, Tensor]:
    """Gives the tensors of a state by their place, in order, and makes sure that all the rest is plain.

    Raises:
        CheckpointError: For the first value that a checkpoint cannot hold, with its place and what to do.
    """
    found: dict[KeyPath, Tensor] = {}
    _visit(dict(state), (), [], found)
    return found


def _visit(value: Any, path: KeyPath, above: list[int], found: dict[KeyPath, Tensor]) -> None:
    if isinstance(value, Tensor):
        found[path] = _storable(value, path)
    elif type(value) in _CONTAINERS:
        if id(value) in above:
            raise CheckpointError(f"`{spell(path)}` must not contain itself; leave it out.")
        if len(above) == MAX_DEPTH:
            raise CheckpointError(f"`{spell(path)}` must not lie more than {MAX_DEPTH} levels deep; use fewer levels.")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if type(key) not in (str, int):
                raise CheckpointError(
                    f"A key of `{spell(path)}` must be a string or an integer, but got {key!r} ({_name(key)}); "
                    f"use str(...) or int(...)."
                )
            _visit(item, (*path, key), [*above, id(value)], found)
    elif type(value) is int:
        if value.bit_length() >= 8 * LARGEST_INTEGER_BYTES:
            raise CheckpointError(
                f"`{spell(path)}` must have fewer than {8 * LARGEST_INTEGER_BYTES} bits, "
                f"but got an integer of {value.bit_length()}; use a string."
            )
    elif value is not None and type(value) not in (bool, float, str, bytes):
        raise CheckpointError(
            f"`{spell(path)}` must be a plain value (dict, list, tuple, str, int, float, bool, None, bytes) "
            f"or a tensor, but got {_name(value)}; {_advice(value)}."
        )


def _storable(tensor: Tensor, path: KeyPath) -> Tensor:
    """Gives the plain tensor behind a parameter, with its values as they stand in memory."""
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        raise CheckpointError(f"`{spell(path)}` must be a plain tensor, but got {_name(tensor)}; {_advice(tensor)}.")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type == "meta":
        kind = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else str(tensor.layout)
        kind = "meta" if tensor.device.type == "meta" else kind
        raise CheckpointError(
            f"`{spell(path)}` must be a dense tensor with values, but got a {kind} tensor; "
            f"store the dense tensors it is made of."
        )
    return tensor.detach().resolve_conj().resolve_neg()


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value: Any) -> str:
    """Gives the shortest way from a value to a plain one."""
    if _name(value) in _ADVICE:
        return _ADVICE[_name(value)]
    if isinstance(value, Tensor):
        return "use .full_tensor()" if hasattr(value, "full_tensor") else "use .as_subclass(torch.Tensor)"
    if hasattr(value, "dtype") and hasattr(value, "item"):
        return "use float(...)" if isinstance(value.item(), float) else "use int(...)"
    for plain in (bool, int, float, str, bytes, dict, list, tuple):
        if isinstance(value, plain):
            return f"use {plain.__name__}(...)"
    if hasattr(value, "__fspath__"):
        return "use str(...)"
    if hasattr(value, "state_dict"):
        return "use its .state_dict()"
    return "leave it out, or store the plain values it is made of"
