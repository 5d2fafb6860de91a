"""From what a pickle says to plain values.

Objects of classes that are known by their exact name are translated by functions of ours; all others stay opaque.
Nothing is looked up by a name out of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from holdfast.checkpoint.foreign.graph import ABSENT, Bag, Call, Name, StorageId, Table
from holdfast.checkpoint.foreign.keys import as_key, set_of
from holdfast.checkpoint.foreign.limits import SIMPLE, Spending
from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.foreign.parts import Knowledge, NotAsKnown, Part, Parts, alone
from holdfast.checkpoint.foreign.rewriting import straight, unwrapped, usual_name

Storages: TypeAlias = Callable[[StorageId], Part]
"""Gives the bytes that a reference stands for."""

ITSELF = Opaque("(a part that contains itself)", {})
_CHECK_CLOCK_EVERY = 256
_BYTES_OF_A_VALUE = 200
"""What a list, a dictionary or an object takes by itself, roughly."""
_DOES_NOT_FIT = (NotAsKnown, TypeError, ValueError, KeyError, IndexError, OverflowError, RuntimeError)


class Translation:
    """Translates the nodes of one file; a node in several places becomes one value in several places.

    Args:
        knowledge: Which classes are known.
        spending: What the file has cost so far.
        storages: Gives the bytes of tensors; None where there are none.
    """

    def __init__(self, knowledge: Knowledge, spending: Spending, storages: Storages | None) -> None:
        self._knowledge = knowledge
        self._spending = spending
        self._done: dict[int, Any] = {}
        self._begun: set[int] = set()
        self._several: dict[int, tuple[Any, ...]] = {}
        self._kept: list[Call] = []
        """Nodes made here: they must live as long as their ids are remembered."""
        self._makers: dict[type, Callable[[Any], Any]] = {
            Table: self._dictionary,
            Bag: self._set,
            list: self._list,
            tuple: lambda items: tuple(self._list(items)),
            Call: self._object,
            Name: self._name,
        }
        if storages is not None:
            self._makers[StorageId] = storages

    def plain(self, node: Any) -> Any:
        """Gives the plain value of a node.

        Raises:
            Trap: When the value costs too much, or a tensor does not lie in its bytes.
        """
        return alone(self._part(node))

    def _part(self, node: Any) -> Any:
        """Gives the value of a node, which may be a `Part`."""
        kind = type(node)
        if kind in SIMPLE:
            return node
        key = id(node)
        if key in self._done:
            return self._done[key]
        if key in self._begun:
            return ITSELF
        self._spending.depth(len(self._begun))
        self._spending.bytes(_BYTES_OF_A_VALUE)
        if len(self._done) % _CHECK_CLOCK_EVERY == 0:
            self._spending.clock()
        self._begun.add(key)
        value = self._done[key] = self._makers[kind](node)
        self._begun.discard(key)
        return value

    def _list(self, nodes: Sequence[Any]) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            values.append(node if type(node) in SIMPLE else alone(self._part(node)))
        return values

    def _dictionary(self, table: Table) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for place in range(0, len(table), 2):
            if place % _CHECK_CLOCK_EVERY == 0:
                self._spending.clock()
            key, value = table[place], table[place + 1]
            if type(key) is not str:
                key = as_key(alone(self._part(key)), values, self._spending)
            values[key] = value if type(value) in SIMPLE else alone(self._part(value))
        return values

    def _set(self, bag: Bag) -> Any:
        """Gives a set, or a list where an item cannot be in a set."""
        return set_of(self._list(bag), self._spending, frozen=bag.frozen)

    def _name(self, name: Name) -> Part:
        known = self._knowledge.mentioned.get(usual_name(name))
        if known is not None:
            return known
        opaque = Opaque(name.text, {})
        return Part(name, lambda: opaque)

    def _object(self, call: Call) -> Any:
        self._spending.operations(1 + len(call.arguments))
        call = straight(call)
        self._kept.append(call)
        if (content := unwrapped(call, self._spending)) is not ABSENT:
            return alone(self._part(content))
        known = type(call.callee) is Name and self._knowledge.called.get(usual_name(call.callee))
        if not known or call.keywords is not None:
            return self._opaque(call)
        parts = self._parts(call)
        try:
            return known(parts)
        except _DOES_NOT_FIT:
            return self._opaque(call)

    def _parts(self, call: Call) -> Parts:
        """Gives what a file says about an object; what several objects share costs its reading for each of them."""
        has_several = type(call.state) is tuple
        arguments = self._each(call.arguments)
        state = self._each(call.state) if has_several else call.state
        if not has_several and state is not ABSENT:
            state = self._part(state)
        for value in (*arguments, *state) if has_several else (*arguments, state):
            self._spending.copy(value)
        items = self._list(call.items or ())
        return Parts(self._spending, arguments, state, items, self._dictionary(call.entries or Table()))

    def _each(self, nodes: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gives the value of each node, which may be a `Part`; only once for a tuple that several objects share."""
        key = id(nodes)
        if key not in self._several:
            values: list[Any] = []
            for node in nodes:
                values.append(self._part(node))
            self._several[key] = tuple(values)
        return self._several[key]

    def _opaque(self, call: Call) -> Opaque:
        content: dict[str, Any] = {}
        callee = call.callee
        if type(callee) is not Name:
            content["callee"] = alone(self._part(callee))
        content["arguments"] = self._part(call.arguments)
        if call.keywords is not None:
            content["keywords"] = self._part(call.keywords)
        if call.state is not ABSENT:
            content["state"] = alone(self._part(call.state))
        if call.items is not None:
            content["items"] = self._list(call.items)
        if call.entries is not None:
            content["entries"] = self._dictionary(call.entries)
        return Opaque(_name_of(callee), content)


def _name_of(callee: Any) -> str:
    """Gives the name of what is called; when that comes out of a call, the name of what is called there."""
    suffix = ""
    while type(callee) is Call:
        callee, suffix = callee.callee, "(...)"
    return f"{callee.text}{suffix}"
