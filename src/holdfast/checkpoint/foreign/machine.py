"""The stack machine of pickles, protocols 0 to 5: it puts together what a pickle says, and does none of it.

A name stays a name, and a call stays a note of what would be called with what. Nothing is imported, no attribute is
looked up, no value is hashed or compared; so what a file says can neither run nor take longer than its own length.
"""

from __future__ import annotations

from typing import Any

from holdfast.checkpoint.foreign.containers import CONTAINERS
from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.objects import OBJECTS
from holdfast.checkpoint.foreign.refusals import Broken, Trap
from holdfast.checkpoint.foreign.scalars import SCALARS
from holdfast.checkpoint.foreign.stack import Operation, Persistent, Stack

_HIGHEST_PROTOCOL = 5
_ROUND = 4096
_STOP = ord(b".")
_NOT_A_PICKLE = "it is neither a well-formed pickle nor another kind of checkpoint"


def interpret(cursor: Cursor, spending: Spending, persistent: Persistent | None = None) -> Any:
    """Gives what the pickle at the cursor says, as nodes; the cursor is left behind its end.

    Raises:
        Broken: When it is cut off, or not a pickle.
        Trap: When it costs too much, or uses what no reader of plain data needs.
    """
    stack = Stack(cursor, spending, persistent)
    try:
        _run(stack)
        (value,) = stack.values
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        is_cut_off = cursor.position >= cursor.end
        raise Broken("it ends in the middle of a pickle" if is_cut_off else _NOT_A_PICKLE) from error
    if stack.below:
        raise Broken(_NOT_A_PICKLE)
    return value


def _run(stack: Stack) -> None:
    """Does one operation after the other, up to the end."""
    cursor, data, operations = stack.cursor, stack.cursor.data, _OPERATIONS
    start = cursor.position
    while True:
        for done in range(_ROUND):
            code = data[cursor.position]
            cursor.position += 1
            if code == _STOP:
                return _count(stack, done, cursor.position - start)
            operations[code](stack)
        _count(stack, _ROUND, cursor.position - start)


def _count(stack: Stack, operations: int, length: int) -> None:
    stack.spending.operations(operations)
    if length > stack.limits.pickle_bytes:
        raise Trap(f"it holds a pickle of more than {stack.limits.pickle_bytes} bytes")


def _scalar(code: bytes) -> Operation:
    read = SCALARS[code]
    return lambda stack: stack.values.append(read(stack.cursor, stack.limits))


def _protocol(stack: Stack) -> None:
    if (protocol := stack.cursor.number(1)) > _HIGHEST_PROTOCOL:
        raise Broken(f"it is a pickle of protocol {protocol}, which is not known", "update Holdfast")


def _frame(stack: Stack) -> None:
    length = stack.cursor.number(8)
    if length > stack.cursor.end - stack.cursor.position:
        raise Broken("it ends in the middle of a frame")


def _unknown(stack: Stack) -> None:
    raise Broken(_NOT_A_PICKLE)


_BY_CODE = {**{code: _scalar(code) for code in SCALARS}, **CONTAINERS, **OBJECTS, b"\x80": _protocol, b"\x95": _frame}
_OPERATIONS: list[Operation] = [_BY_CODE.get(bytes([code]), _unknown) for code in range(256)]
