"""Foreign values as a checkpoint of ours can hold them; what it cannot hold is left out and listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.plain import LARGEST_INTEGER_BYTES, MAX_DEPTH, KeyPath, spell
from holdfast.errors import UnsafeFile

_DEEPEST = MAX_DEPTH - 10
_MOST_VALUES = 5_000_000
_NOTHING: Any = object()

Leave = Callable[[str, str], None]
"""Is told the place of what is left out, and why."""


def plainly(value: Any, place: str, leave: Leave) -> Any:
    """Gives a value made of plain values and dense tensors only; None for one that is left out as a whole.

    Args:
        value: What was found in a foreign file.
        place: What its writer calls it.
        leave: Is told of each value that is left out.

    Raises:
        UnsafeFile: When it holds itself many times over, and would grow without end.
    """
    found = _Plainly(leave).value(value, (place,))
    return None if found is _NOTHING else found


class _Plainly:
    def __init__(self, leave: Leave) -> None:
        self._leave = leave
        self._budget = _MOST_VALUES

    def value(self, value: Any, path: KeyPath) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise UnsafeFile(f"`{path[0]}` must hold fewer than {_MOST_VALUES} values, but got more; it is refused.")
        if isinstance(value, Opaque):
            return self._opaque(value, path)
        if len(path) > _DEEPEST:
            return self._left(path, f"deeper than {_DEEPEST} levels")
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, set | frozenset):
            return self._items(sorted(value, key=repr), path)
        if isinstance(value, list):
            return self._items(value, path)
        if isinstance(value, tuple):
            return tuple(self._items(value, path))
        if type(value) is int and value.bit_length() >= 8 * LARGEST_INTEGER_BYTES:
            return self._left(path, "a number with too many digits")
        if value is None or type(value) in (bool, int, float, str, bytes):
            return value
        return self._left(path, f"of the kind {type(value).__name__}")

    def _opaque(self, value: Opaque, path: KeyPath) -> Any:
        """Gives what an object that adds nothing to a plain value stands for: a dictionary, a list, an enumeration."""
        held = value.content if isinstance(value.content, Mapping) else {}
        content = {name: part for name, part in held.items() if not (isinstance(part, tuple | dict) and not part)}
        arguments = content.get("arguments")
        if set(content) == {"entries"}:
            return self.value(content["entries"], path)
        if set(content) == {"items"}:
            return self.value(content["items"], path)
        if set(content) == {"arguments"} and isinstance(arguments, tuple) and len(arguments) == 1:
            (inner,) = arguments
            if type(inner) in (bool, int, float, str):
                return inner
        return self._left(path, f"an object of {value.name}, which is named and not made")

    def _mapping(self, value: Mapping[Any, Any], path: KeyPath) -> dict[str | int, Any]:
        found: dict[str | int, Any] = {}
        for key, item in value.items():
            name = key if type(key) in (str, int) else str(key)
            inner = self.value(item, (*path, name))
            if name in found:
                self._left((*path, name), "a second value under one name")
            elif inner is not _NOTHING:
                found[name] = inner
        return found

    def _items(self, values: Any, path: KeyPath) -> list[Any]:
        found = (self.value(item, (*path, number)) for number, item in enumerate(values))
        return [None if item is _NOTHING else item for item in found]

    def _tensor(self, tensor: Tensor, path: KeyPath) -> Any:
        if type(tensor) not in (Tensor, nn.Parameter):
            return self._left(path, f"a tensor of the kind {type(tensor).__name__}")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
            return self._left(path, "not a dense tensor")
        return tensor.detach()

    def _left(self, path: KeyPath, why: str) -> Any:
        self._leave(spell(path), why)
        return _NOTHING
