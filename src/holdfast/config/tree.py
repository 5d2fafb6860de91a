"""A configuration as a tree in which every value remembers where it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
"""The way from the top to a value: keys of mappings and indices of lists."""


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file with line and column (from 1), the command line, the defaults, ..."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Node:
    """A value with its origin; mappings and lists hold nodes again."""

    content: Any
    """A dictionary of nodes, a list of nodes, or a plain value."""
    origin: Origin

    @classmethod
    def of(cls, value: Any, origin: Origin) -> Node:
        """Gives a plain value as a tree that has one origin throughout; paths become text."""
        if isinstance(value, Mapping):
            return cls({key: cls.of(item, origin) for key, item in value.items()}, origin)
        if isinstance(value, list | tuple):
            return cls([cls.of(item, origin) for item in value], origin)
        return cls(os.fspath(value) if isinstance(value, os.PathLike) else value, origin)

    def plain(self) -> Any:
        """Gives the value without its origins."""
        if isinstance(self.content, dict):
            return {key: node.plain() for key, node in self.content.items()}
        if isinstance(self.content, list):
            return [node.plain() for node in self.content]
        return self.content

    def along(self, path: KeyPath) -> Iterator[Node]:
        """Gives the nodes on the way to `path`, this one first, as far as they exist."""
        node = self
        yield node
        for step in path:
            inner = node._at(step)
            if inner is None:
                return
            yield (node := inner)

    def _at(self, step: str | int) -> Node | None:
        if isinstance(self.content, dict):
            return self.content.get(step)
        if isinstance(self.content, list) and isinstance(step, int) and step < len(self.content):
            return self.content[step]
        return None

    def get(self, path: KeyPath) -> Node | None:
        """Gives the node at `path`, or None when there is none."""
        nodes = list(self.along(path))
        return nodes[-1] if len(nodes) == len(path) + 1 else None

    def nearest(self, path: KeyPath) -> Node:
        """Gives the node at `path`, or the last one on the way to it."""
        return list(self.along(path))[-1]

    def leaves(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Gives every value that is not a mapping, with its path."""
        if isinstance(self.content, dict):
            for key, node in self.content.items():
                yield from node.leaves((*path, key))
        else:
            yield path, self


def dotted(path: Sequence[str | int]) -> str:
    """Gives a path as people write it: `stages[0].training.lr`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Gives every value that is not a mapping, under its dotted key; lists stay whole."""
    origin = Origin("values")
    return {dotted(path): node.plain() for path, node in Node.of(values, origin).leaves()}
