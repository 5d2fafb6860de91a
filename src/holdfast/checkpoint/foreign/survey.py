"""A walk through a finished content that meets every value once and reckons what a walk without a memory would meet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from holdfast.checkpoint.foreign.limits import SIMPLE, Spending, weight_of
from holdfast.checkpoint.foreign.opaque import Opaque

_CHECK_CLOCK_EVERY = 256


class _Stop:
    """A value on the way, and what has been met below it so far."""

    __slots__ = ("left", "levels", "value", "weight")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.left = _below(value)
        self.weight = 1
        self.levels = 1

    def count(self, weight: int, levels: int) -> None:
        self.weight += weight
        self.levels = max(self.levels, levels + 1)


def survey(content: Any, spending: Spending) -> tuple[str, ...]:
    """Gives the names of the opaque objects in a content, sorted, each once.

    Raises:
        Trap: When it is nested too deeply, or one value stands in so many places that a walk would not come to an end.
    """
    names: set[str] = set()
    known: dict[int, tuple[int, int]] = {}
    way = [_Stop(content)]
    while way:
        here = way[-1]
        unknown = _next_unknown(here, known)
        if unknown is not None:
            way.append(unknown)
            continue
        way.pop()
        if len(known) % _CHECK_CLOCK_EVERY == 0:
            spending.clock()
        spending.values(here.weight)
        spending.depth(here.levels)
        if type(here.value) is Opaque:
            names.add(here.value.name)
        known[id(here.value)] = (here.weight, here.levels)
        if way:
            way[-1].count(here.weight, here.levels)
    return tuple(sorted(names))


def _next_unknown(here: _Stop, known: dict[int, tuple[int, int]]) -> _Stop | None:
    """Goes on to the next value below that has not been met yet, counting the others."""
    for value in here.left:
        if type(value) in SIMPLE:
            here.weight += weight_of(value)
        elif id(value) in known:
            here.count(*known[id(value)])
        else:
            return _Stop(value)
    return None


def _below(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return chain(value.keys(), value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return iter(value)
    if type(value) is Opaque:
        return iter((value.content,))
    return iter(())
