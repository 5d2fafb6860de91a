"""What is known of NumPy: numbers as numbers of Python, arrays as tensors, types of numbers as their names.

Arrays of text or of objects become nested lists. Dates, records and long doubles stay opaque.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from holdfast.checkpoint.foreign.graph import Name
from holdfast.checkpoint.foreign.parts import Knowledge, Part, Parts, expect, value_of

_TYPE_CODE = re.compile(r"[biufcSUO][0-9]{0,9}")
_NUMBERS = "biufc"
_MOST_DIMENSIONS = 64
_PLAIN = (bool, int, float, complex, str, bytes)


def _dtype(parts: Parts) -> Part:
    """Gives a type of numbers or text, out of its code and the order of its bytes."""
    code, state = parts.arguments[0], parts.state
    expect(isinstance(code, str) and _TYPE_CODE.fullmatch(code) and isinstance(state, tuple))
    _, order, within, names, fields, *_ = state
    expect(order in ("<", ">", "|", "=") and within is None and names is None and fields is None)
    dtype = np.dtype(code).newbyteorder(order)
    return Part(dtype, lambda: dtype.name)


def _scalar(parts: Parts) -> Any:
    dtype = value_of(parts.arguments[0], np.dtype)
    data = parts.arguments[1]
    expect(isinstance(data, bytes) and dtype.kind != "O" and len(data) == dtype.itemsize > 0)
    value = np.frombuffer(data, dtype)[0].item()
    expect(type(value) in _PLAIN)
    return value


def _array(parts: Parts) -> Any:
    """Gives an array that is made empty and then filled by its state."""
    expect(value_of(parts.arguments[0], Name).text == "numpy.ndarray" and isinstance(parts.state, tuple))
    shape, dtype, is_fortran, data = parts.state[-4:]
    return _filled(parts, value_of(dtype, np.dtype), shape, data, "F" if is_fortran else "C")


def _array_from_buffer(parts: Parts) -> Any:
    data, dtype, shape, order = parts.arguments
    expect(order in ("C", "F"))
    return _filled(parts, value_of(dtype, np.dtype), shape, data, order)


def _filled(parts: Parts, dtype: np.dtype[Any], shape: Any, data: Any, order: Any) -> Any:
    expect(isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS)
    expect(all(type(length) is int and length >= 0 for length in shape))
    count = math.prod(shape)
    if dtype.kind == "O":
        expect(isinstance(data, list) and len(data) == count)
        parts.spending.operations(_lists(shape))
        return _nested(data, shape)
    expect(isinstance(data, bytes) and dtype.itemsize > 0 and len(data) == count * dtype.itemsize)
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    if dtype.kind not in _NUMBERS:
        parts.spending.operations(_lists(shape) + count)
        return _nested(np.ravel(array).tolist(), shape)
    parts.spending.tensor(len(data))
    expect(dtype.kind != "b" or not (array.view(np.uint8) > 1).any())
    return torch.from_numpy(np.array(array, dtype.newbyteorder("="), order="C"))


def _lists(shape: tuple[int, ...]) -> int:
    """Gives how many lists an array of a shape becomes; without any item it becomes a single one."""
    return 1 if 0 in shape else sum(math.prod(shape[:level]) for level in range(len(shape)))


def _nested(values: list[Any], shape: tuple[int, ...]) -> Any:
    """Gives values in a row as nested lists; objects stand in that order whatever the order of the array is."""
    if not values:
        return []
    if not shape:
        return values[0]
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _generator_state(parts: Parts) -> Any:
    """Gives the state of a random generator: it has one itself, or is made of one that has."""
    state = parts.state[0] if isinstance(parts.state, tuple) else parts.state
    if isinstance(state, dict):
        return state
    (inner,) = parts.arguments
    expect(isinstance(inner, dict))
    return inner


NUMPY = Knowledge(
    called={
        ("numpy", "dtype"): _dtype,
        ("numpy._core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "_reconstruct"): _array,
        ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
        **{
            ("numpy.random._pickle", f"__{kind}_ctor"): _generator_state
            for kind in ("generator", "bit_generator", "randomstate")
        },
    },
    mentioned={},
)
