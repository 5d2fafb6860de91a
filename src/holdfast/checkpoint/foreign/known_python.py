"""What is known of the classes of Python's own library, as plain values.

Dictionaries of every kind become `dict`, a deque a list, a path a string, a bytearray bytes, a slice a tuple of three,
a date or a time its ISO 8601 text, a duration its seconds.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

from holdfast.checkpoint.foreign.graph import ABSENT, Name
from holdfast.checkpoint.foreign.keys import as_key, set_of
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.parts import Knowledge, Known, Part, Parts, alone, expect, value_of

_LONGEST_RANGE = 100_000


def dictionary(parts: Parts) -> dict[Any, Any]:
    """Gives a dictionary of any kind: made of another one or of pairs, and then filled. Its attributes are left out."""
    first = parts.arguments[-1] if parts.arguments else {}
    if isinstance(first, list | tuple):
        first = _of_pairs(first, parts.spending)
    elif not isinstance(first, dict):
        expect(first is None or (type(first) is Part and isinstance(first.value, Name)))  # what a `defaultdict` makes
        first = {}
    return {**first, **parts.entries}


def _attributes(parts: Parts) -> dict[Any, Any]:
    """Gives a dictionary whose keys are attributes, too; some libraries write the same entries in several ways."""
    return parts.entries or dictionary(parts)


def _of_pairs(pairs: Sequence[Any], spending: Spending) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        found[as_key(key, found, spending)] = value
    return found


def namespace(parts: Parts) -> dict[Any, Any]:
    """Gives the attributes of a namespace."""
    first = parts.arguments[0] if parts.arguments else {}
    state = {} if parts.state in (ABSENT, None) else parts.state
    expect(isinstance(first, dict) and isinstance(state, dict))
    return {**first, **state}


def _list(parts: Parts) -> list[Any]:
    first = parts.arguments[0] if parts.arguments else ()
    expect(isinstance(first, list | tuple))
    return [*first, *parts.items]


def _set(*, frozen: bool) -> Known:
    def known(parts: Parts) -> Any:
        expect(len(parts.arguments) <= 1)
        items = parts.arguments[0] if parts.arguments else ()
        expect(isinstance(items, list | tuple | set | frozenset))
        return set_of(list(items), parts.spending, frozen=frozen)

    return known


def _complex(parts: Parts) -> complex:
    expect(1 <= len(parts.arguments) <= 2 and all(type(one) in (int, float) for one in parts.arguments))
    return complex(*parts.arguments)


def _bytes(parts: Parts) -> bytes:
    match parts.arguments:
        case ():
            return b""
        case (bytes() as data,):
            return data
        case (str() as text, str() as encoding):
            return _encoded(text, encoding)
    return _numbers(parts)


def _numbers(parts: Parts) -> bytes:
    (numbers,) = parts.arguments
    expect(isinstance(numbers, list | tuple))
    return bytes(numbers)


def _encode(parts: Parts) -> bytes:
    text, encoding = parts.arguments
    return _encoded(text, encoding)


def _encoded(text: Any, encoding: Any) -> bytes:
    """Gives the bytes that protocols without bytes write as text."""
    expect(isinstance(text, str) and encoding in ("latin1", "latin-1"))
    return text.encode("latin-1")


def _slice(parts: Parts) -> tuple[Any, ...]:
    expect(len(parts.arguments) == 3)
    return tuple(map(alone, parts.arguments))


def _range(parts: Parts) -> list[int]:
    expect(1 <= len(parts.arguments) <= 3 and all(type(one) is int for one in parts.arguments))
    numbers = range(*parts.arguments)
    expect(numbers[: _LONGEST_RANGE + 1] == numbers)
    parts.spending.operations(len(numbers))
    return list(numbers)


def _path(kind: type[pathlib.PurePath]) -> Known:
    def known(parts: Parts) -> str:
        expect(all(isinstance(one, str) for one in parts.arguments))
        return str(kind(*parts.arguments))

    return known


def _timedelta(parts: Parts) -> Part:
    expect(len(parts.arguments) <= 3)
    duration = datetime.timedelta(*parts.arguments)
    return Part(duration, duration.total_seconds)


def _timezone(parts: Parts) -> Part:
    zone = datetime.timezone(value_of(parts.arguments[0], datetime.timedelta))
    return Part(zone, lambda: str(zone))


def _packed(part: Any, length: int) -> bytes:
    """Gives the bytes that a date or a time packs its fields into."""
    packed = part.encode("latin-1") if isinstance(part, str) else part
    expect(isinstance(packed, bytes) and len(packed) == length)
    return packed


def _zone(parts: Parts) -> datetime.timezone | None:
    return value_of(parts.arguments[1], datetime.timezone) if len(parts.arguments) == 2 else None


def _datetime(parts: Parts) -> str:
    packed = _packed(parts.arguments[0], 10)
    day, clock = _date_of(packed[:4]), _time_of(packed[4:])
    fold = packed[2] >> 7
    return datetime.datetime.combine(day, clock.replace(fold=fold, tzinfo=_zone(parts))).isoformat()


def _date(parts: Parts) -> str:
    (packed,) = parts.arguments
    return _date_of(_packed(packed, 4)).isoformat()


def _time(parts: Parts) -> str:
    packed = _packed(parts.arguments[0], 6)
    return _time_of(packed).replace(fold=packed[0] >> 7, tzinfo=_zone(parts)).isoformat()


def _date_of(packed: bytes) -> datetime.date:
    return datetime.date(packed[0] * 256 + packed[1], packed[2] & 0x7F, packed[3])


def _time_of(packed: bytes) -> datetime.time:
    return datetime.time(packed[0] & 0x7F, packed[1], packed[2], int.from_bytes(packed[3:], "big"))


_PATHS: dict[str, type[pathlib.PurePath]] = {
    "PosixPath": pathlib.PurePosixPath,
    "PurePosixPath": pathlib.PurePosixPath,
    "WindowsPath": pathlib.PureWindowsPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
}
_DICTIONARIES = (
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("builtins", "dict"),
)
_WITH_ATTRIBUTES = (
    ("addict.addict", "Dict"),
    ("easydict", "EasyDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("lightning.pytorch.utilities.parsing", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("mmcv.utils.config", "ConfigDict"),
    ("mmengine.config.config", "ConfigDict"),
)

PYTHON = Knowledge(
    called={
        **dict.fromkeys(_DICTIONARIES, dictionary),
        **dict.fromkeys(_WITH_ATTRIBUTES, _attributes),
        ("argparse", "Namespace"): namespace,
        ("types", "SimpleNamespace"): namespace,
        ("collections", "deque"): _list,
        ("builtins", "list"): _list,
        ("builtins", "set"): _set(frozen=False),
        ("builtins", "frozenset"): _set(frozen=True),
        ("builtins", "complex"): _complex,
        ("builtins", "bytes"): _bytes,
        ("builtins", "bytearray"): _bytes,
        ("builtins", "slice"): _slice,
        ("builtins", "range"): _range,
        ("_codecs", "encode"): _encode,
        **{("pathlib", name): _path(kind) for name, kind in _PATHS.items()},
        ("datetime", "datetime"): _datetime,
        ("datetime", "date"): _date,
        ("datetime", "time"): _time,
        ("datetime", "timedelta"): _timedelta,
        ("datetime", "timezone"): _timezone,
    },
    mentioned={},
)
