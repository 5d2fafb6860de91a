"""What a pickle is put together on: a stack, what lies below its marks, a memo, and the names so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.graph import Name
from holdfast.checkpoint.foreign.limits import Spending

Persistent: TypeAlias = Callable[[Any], Any]
"""Gives the node for a persistent id, which a pickle uses for what lies outside of it."""


class Stack:
    """The values that one pickle has said so far.

    Args:
        cursor: Where the pickle is read.
        spending: What the file has cost so far.
        persistent: Gives the nodes for persistent ids; None where there may be none.
    """

    __slots__ = ("below", "cursor", "limits", "memo", "names", "persistent", "spending", "values")

    def __init__(self, cursor: Cursor, spending: Spending, persistent: Persistent | None) -> None:
        self.cursor = cursor
        self.spending = spending
        self.limits = spending.limits
        self.persistent = persistent
        self.values: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: dict[tuple[str, str], Name] = {}

    def push_mark(self) -> None:
        """Puts the values aside, for new ones."""
        self.below.append(self.values)
        self.values = []

    def pop_mark(self) -> list[Any]:
        """Gives the values above the last mark."""
        values, self.values = self.values, self.below.pop()
        return values


Operation: TypeAlias = Callable[[Stack], None]
"""What one operation of a pickle does to the stack; it raises what Python does when it does not find what it needs."""
