"""What to type instead of a value that a checkpoint cannot hold; `...` stands for the value."""

from __future__ import annotations

from collections.abc import KeysView, Mapping, Sequence, ValuesView
from enum import Enum
from typing import Any

import numpy as np
from torch import Tensor

_NONE = "leave it out, or store the plain values it is made of"
_PLAIN = (bool, int, float, str, bytes, dict, list, tuple)
_COMPLEX = "use torch.tensor(..., dtype=torch.complex128)"

_BY_NAME = {
    "complex": _COMPLEX,
    "bytearray": "use bytes(...)",
    "memoryview": "use bytes(...)",
    "array.array": "use list(...)",
    "argparse.Namespace": "use vars(...)",
    "types.SimpleNamespace": "use vars(...)",
    "datetime.timedelta": "use .total_seconds()",
    "random.Random": "use .getstate()",
    "torch.Size": "use tuple(...)",
    "torch.dtype": "use str(...)",
    "torch.device": "use str(...)",
    "torch._C.Generator": "use .get_state()",
    "numpy.random._generator.Generator": "use .bit_generator.state",
}
_BY_KIND_OF_SCALAR = {
    "b": "use bool(...)",
    "i": "use int(...)",
    "u": "use int(...)",
    "f": "use float(...)",
    "c": _COMPLEX,
    "S": "use bytes(...)",
    "U": "use str(...)",
    "M": "use str(...)",
    "m": "use str(...)",
}
"""By the kind that NumPy gives its types."""


def name_of(value: Any) -> str:
    """Gives the type of a value as a user would write it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def advice_for(value: Any) -> str:
    """Gives the shortest way from a value to one that a checkpoint can hold."""
    if name_of(value) in _BY_NAME:
        return _BY_NAME[name_of(value)]
    if isinstance(value, type):
        return _NONE
    if isinstance(value, Tensor):
        return "use .full_tensor()" if hasattr(value, "full_tensor") else "use .as_subclass(torch.Tensor)"
    if isinstance(value, np.ndarray):
        return _for_array(value)
    if isinstance(value, np.generic):
        return _BY_KIND_OF_SCALAR.get(value.dtype.kind, _NONE)
    if isinstance(value, Enum) and not isinstance(value, int):
        return "use .value" if type(value.value) in _PLAIN else _NONE
    for plain in _PLAIN:
        if isinstance(value, plain):
            return f"use {plain.__name__}(...)"
    return _for_container(value) or _by_abilities(value)


def _for_array(array: np.ndarray[Any, Any]) -> str:
    kind, is_complex, is_long = array.dtype.kind, array.dtype.kind == "c", array.dtype.char in "gG"
    if kind in "Mm":
        return "use .astype(str).tolist()"
    if kind in "SUT":
        return "use .tolist()"
    if kind not in "biufc":
        return _NONE
    if isinstance(array, np.ma.MaskedArray):  # torch would not see what is masked
        return _NONE if is_complex or is_long else "use .tolist()"
    if is_long or (is_complex and not array.dtype.isnative):
        return f"use torch.from_numpy(np.array(..., {'complex' if is_complex else 'float'}))"
    if not array.dtype.isnative:
        return "use .tolist()"
    shared = "torch.from_numpy(...)" if _can_be_shared(array) else "torch.from_numpy(np.array(...))"
    return f"use {shared}" if is_complex else f"use {shared} or .tolist()"


def _can_be_shared(array: np.ndarray[Any, Any]) -> bool:
    """Says whether torch can use the memory of an array of a type that it knows."""
    return array.flags.writeable and all(step >= 0 and step % array.itemsize == 0 for step in array.strides)


def _for_container(value: Any) -> str | None:
    if isinstance(value, set | frozenset):
        try:
            sorted(value)
        except TypeError:
            return "use list(...)"
        return "use sorted(...)"
    if isinstance(value, Mapping):
        return "use dict(...)"
    return "use list(...)" if isinstance(value, Sequence | KeysView | ValuesView) else None


def _by_abilities(value: Any) -> str:
    if hasattr(value, "__fspath__"):
        return "use str(...)"
    if hasattr(value, "state_dict"):
        return "use its .state_dict()"
    if hasattr(value, "isoformat"):
        return "use .isoformat()"
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return "use .tolist()"
    return _NONE
