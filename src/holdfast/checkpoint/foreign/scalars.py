"""The operations of a pickle that carry a value: numbers, strings and bytes."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.limits import Limits
from holdfast.checkpoint.foreign.refusals import Trap

_DIGITS_PER_BYTE = 2.41
_MARKS_OF_AN_INTEGER = 4
"""Sign, prefix and the L of a long integer."""
_LONGEST_FLOAT = 1000
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)
_ESCAPES = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _written_integer(cursor: Cursor, limits: Limits) -> int:
    line = cursor.line()
    if len(line) > _DIGITS_PER_BYTE * limits.integer_bytes + _MARKS_OF_AN_INTEGER:
        raise _giant(limits)
    return int(line.removesuffix(b"L"), 0)


def _integer_or_bool(cursor: Cursor, limits: Limits) -> int | bool:
    start = cursor.position
    line = cursor.line()
    if line in (b"00", b"01"):
        return line == b"01"
    cursor.position = start
    return _written_integer(cursor, limits)


def _written_float(cursor: Cursor, limits: Limits) -> float:
    line = cursor.line()
    if len(line) > _LONGEST_FLOAT:
        raise ValueError("a number of too many digits")
    return float(line)


def _long_integer(width: int) -> Callable[[Cursor, Limits], int]:
    def read(cursor: Cursor, limits: Limits) -> int:
        length = cursor.number(width)
        if length > limits.integer_bytes:
            raise _giant(limits)
        return int.from_bytes(cursor.take(length), "little", signed=True)

    return read


def _giant(limits: Limits) -> Trap:
    return Trap(f"it has an integer of more than {limits.integer_bytes} bytes")


def _text(width: int) -> Callable[[Cursor, Limits], str]:
    return lambda cursor, limits: cursor.counted(width).decode("utf-8", "surrogatepass")


def _bytes(width: int) -> Callable[[Cursor, Limits], bytes]:
    return lambda cursor, limits: cursor.counted(width)


def _old_string(width: int) -> Callable[[Cursor, Limits], str | bytes]:
    return lambda cursor, limits: _text_if_it_is(cursor.counted(width))


def _quoted_string(cursor: Cursor, limits: Limits) -> str | bytes:
    line = cursor.line().strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("a string without quotes")
    return _text_if_it_is(_ESCAPE.sub(_unescaped, line[1:-1]))


def _unescaped(found: re.Match[bytes]) -> bytes:
    sign = found[1]
    return bytes([int(sign[1:], 16)]) if sign[:1] == b"x" and len(sign) == 3 else _ESCAPES[sign]


def _text_if_it_is(data: bytes) -> str | bytes:
    """Gives a string of Python 2, which could be text or bytes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


SCALARS: Mapping[bytes, Callable[[Cursor, Limits], Any]] = {
    b"N": lambda cursor, limits: None,
    b"\x88": lambda cursor, limits: True,
    b"\x89": lambda cursor, limits: False,
    b"I": _integer_or_bool,
    b"L": _written_integer,
    b"J": lambda cursor, limits: int.from_bytes(cursor.take(4), "little", signed=True),
    b"K": lambda cursor, limits: cursor.byte(),
    b"M": lambda cursor, limits: cursor.number(2),
    b"\x8a": _long_integer(1),
    b"\x8b": _long_integer(4),
    b"F": _written_float,
    b"G": lambda cursor, limits: struct.unpack(">d", cursor.take(8))[0],
    b"V": lambda cursor, limits: codecs.raw_unicode_escape_decode(cursor.line())[0],
    b"X": _text(4),
    b"\x8c": _text(1),
    b"\x8d": _text(8),
    b"S": _quoted_string,
    b"T": _old_string(4),
    b"U": _old_string(1),
    b"B": _bytes(4),
    b"C": _bytes(1),
    b"\x8e": _bytes(8),
    b"\x96": _bytes(8),
}
"""Gives the value for each operation that only carries one; a bytearray becomes bytes."""
