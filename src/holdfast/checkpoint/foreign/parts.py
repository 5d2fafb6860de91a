"""What the translation hands to those who know a class, and what they may hand back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from holdfast.checkpoint.foreign.graph import ABSENT
from holdfast.checkpoint.foreign.limits import Spending


@dataclass(frozen=True, slots=True)
class Part:
    """A value that others are made of: a type of numbers, the bytes of a tensor, a name."""

    value: Any
    alone: Callable[[], Any]
    """Gives what stands in its place where nothing is made of it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a file says about one object. Its arguments and its state may be a `Part`; inside of others is none."""

    spending: Spending
    arguments: tuple[Any, ...] = ()
    state: Any = ABSENT
    """When it is a tuple, each of its items may be a `Part`."""
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)


class NotAsKnown(Exception):
    """An object of a known class has parts that it never has; so it stays opaque."""


Known: TypeAlias = Callable[[Parts], Any]
"""Gives the plain value for an object of a known class. It may raise NotAsKnown, and the exceptions that Python raises
for arguments that do not fit."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The classes and names that are known, by their exact module and name."""

    called: Mapping[tuple[str, str], Known]
    mentioned: Mapping[tuple[str, str], Part]
    """Those that are a value by themselves."""

    def and_also(self, other: Knowledge) -> Knowledge:
        """Gives what both know."""
        return Knowledge({**self.called, **other.called}, {**self.mentioned, **other.mentioned})


def expect(holds: object) -> None:
    """Makes sure that an object is as its class always is.

    Raises:
        NotAsKnown: When it is not.
    """
    if not holds:
        raise NotAsKnown


def value_of(part: Any, kind: type[Any]) -> Any:
    """Gives the value of a `Part`, which must be of a kind.

    Raises:
        NotAsKnown: When it is not.
    """
    expect(type(part) is Part and isinstance(part.value, kind))
    return part.value


def alone(value: Any) -> Any:
    """Gives what stands for a value where nothing is made of it."""
    return value.alone() if type(value) is Part else value
