"""Plain content of any shape for looking at: what lies in it, in words, counted, and as JSON can hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.layouts.parts import number

_LONGEST = 60


def entries(content: Any) -> Iterator[tuple[str | int, Any]]:
    """Gives what lies directly in a container, in order; nothing for anything else."""
    if isinstance(content, Opaque):
        content = content.content
    if isinstance(content, Mapping):
        yield from ((key if isinstance(key, str | int) else str(key), value) for key, value in content.items())
    elif isinstance(content, list | tuple):
        yield from enumerate(content)


def in_words(value: Any) -> str:
    """Gives a value in a few words: a number as it is, a tensor by type and shape, a container by what it holds."""
    if isinstance(value, Tensor):
        single = number(value)
        return f"{type_of(value)} {list(value.shape)}{'' if single is None else f' = {single:g}'}"
    if isinstance(value, Opaque):
        return f"an object of {value.name}, not made"
    if isinstance(value, Mapping):
        return "1 entry" if len(value) == 1 else f"{len(value)} entries"
    if isinstance(value, list | tuple | set | frozenset):
        return "1 item" if len(value) == 1 else f"{len(value)} items"
    text = repr(value[: 2 * _LONGEST]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def tensors_in(content: Any) -> tuple[int, int]:
    """Gives how many tensors there are in a content, and their bytes; one that stands in several places counts once."""
    found: dict[int, int] = {}
    met: set[int] = set()
    rest = [content]
    while rest:
        value = rest.pop()
        if isinstance(value, Tensor):
            found[id(value)] = bytes_of(value)
        elif isinstance(value, Mapping | list | tuple | Opaque) and id(value) not in met:
            met.add(id(value))
            rest += [inner for _, inner in entries(value)]
    return len(found), sum(found.values())


def bytes_of(tensor: Tensor) -> int:
    """Gives the bytes of a tensor's numbers."""
    return tensor.numel() * tensor.element_size()


def type_of(tensor: Tensor) -> str:
    """Gives the type of a tensor's numbers: `float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def as_json(value: Any) -> Any:
    """Gives a value as JSON can hold it: what JSON has no word for in a few words of its own."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return in_words(value)


def flat(values: Mapping[Any, Any], above: str = "") -> dict[str, Any]:
    """Gives nested settings by their dotted names, `training.lr`; an empty mapping stands for itself."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}.{key}" if above else str(key)
        found |= flat(value, name) if isinstance(value, Mapping) and value else {name: value}
    return found
