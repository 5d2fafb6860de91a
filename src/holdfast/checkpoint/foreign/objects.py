"""The operations of a pickle that name classes and make objects of them: here they only note what would be made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.foreign.graph import ABSENT, Call, Name, Table
from holdfast.checkpoint.foreign.refusals import Trap, shown
from holdfast.checkpoint.foreign.stack import Operation, Stack

_LONGEST_NAME = 500


def _global(stack: Stack) -> None:
    module = stack.cursor.line().decode()
    stack.values.append(_name(stack, module, stack.cursor.line().decode()))


def _stack_global(stack: Stack) -> None:
    name = stack.values.pop()
    stack.values.append(_name(stack, stack.values.pop(), name))


def _name(stack: Stack, module: Any, name: Any) -> Name:
    if type(module) is not str or type(name) is not str:
        raise TypeError("a name that is no text")
    if len(module) + len(name) > _LONGEST_NAME or not (module + name).isprintable():
        raise Trap(f"it names a class in a way that no class is named (`{shown(module)}.{shown(name)}`)")
    return stack.names.setdefault((module, name), Name(module, name))


def _reduce(stack: Stack) -> None:
    arguments = stack.values.pop()
    stack.values.append(_call(stack.values.pop(), arguments))


def _new_object_with_keywords(stack: Stack) -> None:
    keywords = stack.values.pop()
    if type(keywords) is not Table:
        raise TypeError("keywords that are no dictionary")
    arguments = stack.values.pop()
    stack.values.append(_call(stack.values.pop(), arguments, keywords or None))


def _call(callee: Any, arguments: Any, keywords: Table | None = None) -> Call:
    if type(callee) not in (Name, Call) or type(arguments) is not tuple:
        raise TypeError("a call of what cannot be called")
    return Call(callee, arguments, keywords)


def _instance(stack: Stack) -> None:
    arguments = tuple(stack.pop_mark())
    _global(stack)
    stack.values.append(Call(stack.values.pop(), arguments))


def _object(stack: Stack) -> None:
    callee, *arguments = stack.pop_mark()
    stack.values.append(_call(callee, tuple(arguments)))


def _build(stack: Stack) -> None:
    state = stack.values.pop()
    target = stack.values[-1]
    if type(target) is not Call or target.state is not ABSENT:
        raise Trap("it sets the state of something that is no new object")
    target.state = state


def _persistent(stack: Stack) -> None:
    if stack.persistent is None:
        raise Trap("it refers to something outside of the file (a persistent id)")
    stack.values.append(stack.persistent(stack.values.pop()))


def _refused(what: str) -> Operation:
    def operation(stack: Stack) -> None:
        raise Trap(f"it uses {what}, which only works inside the program that wrote it")

    return operation


OBJECTS: Mapping[bytes, Operation] = {
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
