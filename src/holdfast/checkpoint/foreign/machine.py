"""The stack machine of pickles, protocols 0 to 5: it puts together what a pickle says, and does none of it.

A name stays a name, and a call stays a note of what would be called with what. Nothing is imported, no attribute is
looked up, no value is hashed or compared; so what a file says can neither run nor take longer than its own length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.graph import ABSENT, Bag, Call, Name, Table
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.refusals import Broken, Trap, shown
from holdfast.checkpoint.foreign.scalars import SCALARS

Persistent: TypeAlias = Callable[[Any], Any]
"""Gives the node for a persistent id, which a pickle uses for what lies outside of it."""

_HIGHEST_PROTOCOL = 5
_LONGEST_NAME = 500
_ROUND = 4096
_STOP = ord(b".")
_NOT_A_PICKLE = "it is neither a well-formed pickle nor another kind of checkpoint"


def interpret(cursor: Cursor, spending: Spending, persistent: Persistent | None = None) -> Any:
    """Gives what the pickle at the cursor says, as nodes; the cursor is left behind its end.

    Raises:
        Broken: When it is cut off, or not a pickle.
        Trap: When it costs too much, or uses what no reader of plain data needs.
    """
    machine = Machine(cursor, spending, persistent)
    try:
        return machine.run()
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        is_cut_off = machine.cursor.position >= machine.cursor.end
        raise Broken("it ends in the middle of a pickle" if is_cut_off else _NOT_A_PICKLE) from error


class Machine:
    """The stack, what lies below the marks, the memo and the names of one pickle."""

    __slots__ = ("below", "cursor", "limits", "memo", "names", "persistent", "spending", "stack", "start")

    def __init__(self, cursor: Cursor, spending: Spending, persistent: Persistent | None) -> None:
        self.cursor = cursor
        self.spending = spending
        self.limits = spending.limits
        self.persistent = persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: dict[tuple[str, str], Name] = {}
        self.start = cursor.position

    def run(self) -> Any:
        """Gives the value on the stack at the end."""
        cursor, data, operations = self.cursor, self.cursor.data, _OPERATIONS
        while True:
            for done in range(_ROUND):
                code = data[cursor.position]
                cursor.position += 1
                if code == _STOP:
                    return self._last(done)
                operations[code](self)
            self.spending.operations(_ROUND)
            if cursor.position - self.start > self.limits.pickle_bytes:
                raise Trap(f"it holds a pickle of more than {self.limits.pickle_bytes} bytes")

    def _last(self, done: int) -> Any:
        self.spending.operations(done)
        (value,) = self.stack
        if self.below:
            raise Broken(_NOT_A_PICKLE)
        return value

    def push_mark(self) -> None:
        """Puts the stack aside, for a new one."""
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """Gives what lies above the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items


Operation: TypeAlias = Callable[[Machine], None]


def _scalar(code: bytes) -> Operation:
    read = SCALARS[code]
    return lambda machine: machine.stack.append(read(machine.cursor, machine.limits))


def _protocol(machine: Machine) -> None:
    if (protocol := machine.cursor.number(1)) > _HIGHEST_PROTOCOL:
        raise Broken(f"it is a pickle of protocol {protocol}, which is not known", "update Holdfast")


def _frame(machine: Machine) -> None:
    length = machine.cursor.number(8)
    if length > machine.cursor.end - machine.cursor.position:
        raise Broken("it ends in the middle of a frame")


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _drop_marked(machine: Machine) -> None:
    machine.pop_mark()


def _new(make: Callable[[], Any]) -> Operation:
    return lambda machine: machine.stack.append(make())


def _tuple(length: int) -> Operation:
    def operation(machine: Machine) -> None:
        stack = machine.stack
        if len(stack) < length:
            raise IndexError("the stack is too short")
        stack[-length:] = [tuple(stack[-length:])]

    return operation


def _of_marked(make: Callable[[list[Any]], Any]) -> Operation:
    def operation(machine: Machine) -> None:
        items = machine.pop_mark()
        machine.stack.append(make(items))

    return operation


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _add_items(machine.stack[-1], [item])


def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    _add_items(machine.stack[-1], items)


def _add_items(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is Call:
        target.items = target.items or []
        target.items.extend(items)
    else:
        raise TypeError("items for what is no list")


def _set_item(machine: Machine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    _add_entries(machine.stack[-1], [key, value])


def _set_items(machine: Machine) -> None:
    entries = machine.pop_mark()
    _add_entries(machine.stack[-1], entries)


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


def _add_to_set(machine: Machine) -> None:
    items = machine.pop_mark()
    target = machine.stack[-1]
    if type(target) is not Bag or target.frozen:
        raise TypeError("items for what is no set")
    target.extend(items)


def _memo_operations(width: int | None) -> tuple[Operation, Operation]:
    """Gives what stores into the memo and what takes from it; the number of the place is a line without a width."""

    def place(machine: Machine) -> int:
        number = int(machine.cursor.line()) if width is None else machine.cursor.number(width)
        if number < 0:
            raise ValueError("a negative place in the memo")
        return number

    def put(machine: Machine) -> None:
        machine.memo[place(machine)] = machine.stack[-1]

    def get(machine: Machine) -> None:
        machine.stack.append(machine.memo[place(machine)])

    return put, get


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine) -> None:
    module = machine.cursor.line().decode()
    machine.stack.append(_name(machine.names, module, machine.cursor.line().decode()))


def _stack_global(machine: Machine) -> None:
    name = machine.stack.pop()
    machine.stack.append(_name(machine.names, machine.stack.pop(), name))


def _name(names: dict[tuple[str, str], Name], module: Any, name: Any) -> Name:
    if type(module) is not str or type(name) is not str:
        raise TypeError("a name that is no text")
    if len(module) + len(name) > _LONGEST_NAME or not (module + name).isprintable():
        raise Trap(f"it names a class in a way that no class is named (`{shown(module)}.{shown(name)}`)")
    return names.setdefault((module, name), Name(module, name))


def _reduce(machine: Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack.append(_call(machine.stack.pop(), arguments))


def _new_object_with_keywords(machine: Machine) -> None:
    keywords = machine.stack.pop()
    if type(keywords) is not Table:
        raise TypeError("keywords that are no dictionary")
    arguments = machine.stack.pop()
    machine.stack.append(_call(machine.stack.pop(), arguments, keywords or None))


def _call(callee: Any, arguments: Any, keywords: Table | None = None) -> Call:
    if type(callee) not in (Name, Call) or type(arguments) is not tuple:
        raise TypeError("a call of what cannot be called")
    return Call(callee, arguments, keywords)


def _instance(machine: Machine) -> None:
    arguments = tuple(machine.pop_mark())
    _global(machine)
    machine.stack.append(Call(machine.stack.pop(), arguments))


def _object(machine: Machine) -> None:
    callee, *arguments = machine.pop_mark()
    machine.stack.append(_call(callee, tuple(arguments)))


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is not Call or target.state is not ABSENT:
        raise Trap("it sets the state of something that is no new object")
    target.state = state


def _persistent(machine: Machine) -> None:
    if machine.persistent is None:
        raise Trap("it refers to something outside of the file (a persistent id)")
    machine.stack.append(machine.persistent(machine.stack.pop()))


def _refused(what: str) -> Operation:
    def operation(machine: Machine) -> None:
        raise Trap(f"it uses {what}, which only works inside the program that wrote it")

    return operation


def _unknown(machine: Machine) -> None:
    raise Broken(_NOT_A_PICKLE)


_put, _get = _memo_operations(None)
_put_1, _get_1 = _memo_operations(1)
_put_4, _get_4 = _memo_operations(4)

_BY_CODE: Mapping[bytes, Operation] = {
    **{code: _scalar(code) for code in SCALARS},
    b"\x80": _protocol,
    b"\x95": _frame,
    b"(": Machine.push_mark,
    b"0": _pop,
    b"1": _drop_marked,
    b"2": lambda machine: machine.stack.append(machine.stack[-1]),
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
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _reduce,
    b"\x81": _reduce,
    b"\x92": _new_object_with_keywords,
    b"i": _instance,
    b"o": _object,
    b"b": _build,
    b"Q": _persistent,
    b"P": _refused("a persistent id that is text"),
    b"\x82": _refused("the extension registry"),
    b"\x83": _refused("the extension registry"),
    b"\x84": _refused("the extension registry"),
    b"\x97": _refused("a buffer outside of the file"),
    b"\x98": _refused("a buffer outside of the file"),
}


_OPERATIONS: list[Operation] = [_BY_CODE.get(bytes([code]), _unknown) for code in range(256)]
