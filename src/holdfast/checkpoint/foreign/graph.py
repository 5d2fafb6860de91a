"""What a pickle says, as inert nodes: nothing in it has been looked up, made or called.

Lists, tuples and simple values stand for themselves. The nodes compare by identity, so that nothing in a file decides
how long a comparison or a hash takes.
"""

from __future__ import annotations

from typing import Any, Final


class Absent:
    """Stands where a file says nothing."""


ABSENT: Final = Absent()


class Name:
    """The name of a class or function; never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    @property
    def text(self) -> str:
        """Gives the name with its module, as one writes it."""
        return f"{self.module}.{self.name}"


class Table(list[Any]):
    """A dictionary, as its keys and values in turn."""

    __slots__ = ()

    def get(self, key: str) -> Any:
        """Gives the last value for a key that is a string; ABSENT without one."""
        for place in range(len(self) - 2, -1, -2):
            if type(self[place]) is str and self[place] == key:
                return self[place + 1]
        return ABSENT


class Bag(list[Any]):
    """A set, as its items."""

    __slots__ = ("frozen",)

    def __init__(self, items: list[Any], *, frozen: bool) -> None:
        super().__init__(items)
        self.frozen = frozen


class Call:
    """What would be an object: a class or function with its arguments, and what is put into it afterwards."""

    __slots__ = ("arguments", "callee", "entries", "items", "keywords", "state")

    def __init__(self, callee: Any, arguments: tuple[Any, ...], keywords: Table | None = None) -> None:
        self.callee = callee
        self.arguments = arguments
        self.keywords = keywords
        self.state: Any = ABSENT
        self.items: list[Any] | None = None
        self.entries: Table | None = None

    def with_callee(self, callee: Any, arguments: tuple[Any, ...], keywords: Table | None = None) -> Call:
        """Gives the same call of something else."""
        other = Call(callee, arguments, keywords or self.keywords)
        other.state, other.items, other.entries = self.state, self.items, self.entries
        return other


class StorageId:
    """A reference to the bytes of tensors, which lie elsewhere in the same file."""

    __slots__ = ("count", "key", "kind", "view")

    def __init__(self, kind: Name, key: str, count: int, view: tuple[str, int, int] | None = None) -> None:
        self.kind = kind
        self.key = key
        self.count = count
        """Elements in it."""
        self.view = view
        """Key, first element and number of elements, for a part of another storage in very old files."""
