"""What may be a key of a dictionary or an item of a set: only values whose hash is cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.opaque import Opaque

_KEYS = frozenset({type(None), bool, int, float, complex, str, bytes})
_CHECK_CLOCK_EVERY = 256
_LONGEST_TUPLE = 64
_SPELLED_ITEMS = 8
_SPELLED_CHARACTERS = 100


def is_key(value: Any) -> bool:
    """Says whether a value can be a key: it is simple, a short tuple of simple values, or a frozen set."""
    kind = type(value)
    if kind is tuple:
        return len(value) <= _LONGEST_TUPLE and all(type(item) in _KEYS for item in value)
    return kind in _KEYS or kind is frozenset


def as_key(value: Any, taken: Mapping[Any, Any], spending: Spending) -> Any:
    """Gives a value if it can be a key, else a text for it that is not taken yet."""
    if is_key(value):
        return value
    text = spelled = _spelled(value)
    number = len(taken)
    while text in taken:
        number += 1
        text = f"{spelled} ({number})"
    spending.bytes(len(text))
    return text


def set_of(items: Sequence[Any], spending: Spending, *, frozen: bool) -> Any:
    """Gives a set of plain values, or a list where one of them cannot be in a set."""
    if not all(map(is_key, items)):
        return list(items)
    found: set[Any] = set()
    for start in range(0, len(items), _CHECK_CLOCK_EVERY):
        spending.clock()
        found.update(items[start : start + _CHECK_CLOCK_EVERY])
    return frozenset(found) if frozen else found


def _spelled(value: Any) -> str:
    """Gives a short text for a value: `module.Colour(1)`."""
    if isinstance(value, Opaque):
        arguments = value.content.get("arguments")
        return value.name if arguments is None else f"{value.name}{_brackets(arguments)}"
    if isinstance(value, tuple):
        return _brackets(value)
    return f"({type(value).__name__})"


def _brackets(values: tuple[Any, ...]) -> str:
    shown = [_short(value) for value in values[:_SPELLED_ITEMS]]
    return f"({', '.join(shown)}{', ...' if len(values) > _SPELLED_ITEMS else ''})"


def _short(value: Any) -> str:
    if isinstance(value, Opaque):
        return value.name
    if isinstance(value, str | bytes):
        return repr(value[:_SPELLED_CHARACTERS])
    return str(value) if type(value) in _KEYS else f"({type(value).__name__})"
