"""The operations of a pickle that put values together: lists, tuples, dictionaries, sets, and the memo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.checkpoint.foreign.graph import Bag, Call, Table
from holdfast.checkpoint.foreign.stack import Operation, Stack


def _new(make: Callable[[], Any]) -> Operation:
    return lambda stack: stack.values.append(make())


def _tuple(length: int) -> Operation:
    def operation(stack: Stack) -> None:
        values = stack.values
        if len(values) < length:
            raise IndexError("the stack is too short")
        values[-length:] = [tuple(values[-length:])]

    return operation


def _of_marked(make: Callable[[list[Any]], Any]) -> Operation:
    def operation(stack: Stack) -> None:
        items = stack.pop_mark()
        stack.values.append(make(items))

    return operation


def _append(stack: Stack) -> None:
    item = stack.values.pop()
    _add_items(stack.values[-1], [item])


def _appends(stack: Stack) -> None:
    items = stack.pop_mark()
    _add_items(stack.values[-1], items)


def _add_items(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is Call:
        target.items = target.items or []
        target.items.extend(items)
    else:
        raise TypeError("items for what is no list")


def _set_item(stack: Stack) -> None:
    value = stack.values.pop()
    key = stack.values.pop()
    _add_entries(stack.values[-1], [key, value])


def _set_items(stack: Stack) -> None:
    entries = stack.pop_mark()
    _add_entries(stack.values[-1], entries)


def _add_entries(target: Any, entries: list[Any]) -> None:
    if type(target) is Call:
        target.entries = target.entries or Table()
        target = target.entries
    if type(target) is not Table or len(entries) % 2:
        raise TypeError("entries for what is no dictionary")
    target.extend(entries)


def _dictionary(entries: list[Any]) -> Table:
    table = Table()
    _add_entries(table, entries)
    return table


def _add_to_set(stack: Stack) -> None:
    items = stack.pop_mark()
    target = stack.values[-1]
    if type(target) is not Bag or target.frozen:
        raise TypeError("items for what is no set")
    target.extend(items)


def _pop(stack: Stack) -> None:
    if stack.values:
        stack.values.pop()
    else:
        stack.pop_mark()


def _pop_marked(stack: Stack) -> None:
    stack.pop_mark()


def _memo_operations(width: int | None) -> tuple[Operation, Operation]:
    """Gives what stores into the memo and what takes from it; the number of the place is a line without a width."""

    def place(stack: Stack) -> int:
        number = int(stack.cursor.line()) if width is None else stack.cursor.number(width)
        if number < 0:
            raise ValueError("a negative place in the memo")
        return number

    def put(stack: Stack) -> None:
        stack.memo[place(stack)] = stack.values[-1]

    def get(stack: Stack) -> None:
        stack.values.append(stack.memo[place(stack)])

    return put, get


def _memoize(stack: Stack) -> None:
    stack.memo[len(stack.memo)] = stack.values[-1]


_put, _get = _memo_operations(None)
_put_1, _get_1 = _memo_operations(1)
_put_4, _get_4 = _memo_operations(4)

CONTAINERS: Mapping[bytes, Operation] = {
    b"(": Stack.push_mark,
    b"0": _pop,
    b"1": _pop_marked,
    b"2": lambda stack: stack.values.append(stack.values[-1]),
    b"]": _new(list),
    b"}": _new(Table),
    b")": _new(tuple),
    b"\x8f": _new(lambda: Bag([], frozen=False)),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"t": _of_marked(tuple),
    b"l": _of_marked(list),
    b"d": _of_marked(_dictionary),
    b"\x91": _of_marked(lambda items: Bag(items, frozen=True)),
    b"a": _append,
    b"e": _appends,
    b"s": _set_item,
    b"u": _set_items,
    b"\x90": _add_to_set,
    b"p": _put,
    b"g": _get,
    b"q": _put_1,
    b"h": _get_1,
    b"r": _put_4,
    b"j": _get_4,
    b"\x94": _memoize,
}
