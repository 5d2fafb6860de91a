"""From a state to its skeleton: the pickle of its plain values, with notes in the places of tensors.

The same state always gives the same bytes, and PyTorch opens them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor

from holdfast.checkpoint import tokens
from holdfast.checkpoint.plain import KeyPath
from holdfast.checkpoint.skeleton import TensorNote

Put: TypeAlias = Callable[[bytes], object]
"""Takes the next bytes."""

_KEPT = 4 * 1024 * 1024
"""An encoded state of at most so many bytes is kept; a longer one is encoded again when it is written."""
_PART = 64 * 1024
"""Characters of a long text that are encoded in one go."""


@dataclass(frozen=True)
class Encoded:
    """A state as a skeleton, whose bytes never need to stand in memory together."""

    length: int
    send: Callable[[Put], object]
    """Gives the bytes, from the first to the last, piece by piece."""

    def __bytes__(self) -> bytes:
        data = bytearray()
        self.send(data.extend)
        return bytes(data)


def encode(state: Mapping[str, Any], notes: Mapping[KeyPath, TensorNote]) -> Encoded:
    """Gives the skeleton of a state; a large state must not change before it has been written.

    Args:
        state: What `tensors_of` has accepted.
        notes: What stands in the place of each tensor.
    """
    first, length = bytearray(), 0

    def count(data: bytes) -> None:
        nonlocal length
        length += len(data)
        if length <= _KEPT:
            first.extend(data)

    _send_state(state, notes, count)
    if length > _KEPT:
        return Encoded(length, partial(_send_state, state, notes))
    kept = bytes(first)
    return Encoded(length, lambda put: put(kept))


def _send_state(state: Mapping[str, Any], notes: Mapping[KeyPath, TensorNote], put: Put) -> None:
    put(tokens.START)
    _send(dict(state), (), notes, put)
    put(tokens.END)


def _send(value: Any, path: KeyPath, notes: Mapping[KeyPath, TensorNote], put: Put) -> None:
    if isinstance(value, Tensor):
        put(_tensor(notes[path]))
    elif isinstance(value, dict):
        put(b"}(")
        for key, item in value.items():
            _send(key, (), notes, put)
            _send(item, (*path, key), notes, put)
        put(b"u")
    elif isinstance(value, list | tuple):
        put(b"](" if isinstance(value, list) else b"(")
        for index, item in enumerate(value):
            _send(item, (*path, index), notes, put)
        put(b"e" if isinstance(value, list) else b"t")
    elif isinstance(value, bytes):
        put(tokens.BYTES)
        _send_text(value, put)
        put(tokens.AFTER_BYTES)
    elif isinstance(value, str):
        _send_text(value, put)
    else:
        put(tokens.number(value))


def _send_text(value: str | bytes, put: Put) -> None:
    """Sends a text, or bytes as the text of their numbers; a long one in parts, so that it is never copied whole."""
    parts = range(0, len(value), _PART)

    def encoded(start: int) -> bytes:
        part = value[start : start + _PART]
        return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part.decode("latin-1").encode()

    if len(parts) <= 1:
        data = encoded(0)
        put(tokens.TEXT + struct.pack("<I", len(data)) + data)
        return
    put(tokens.TEXT + struct.pack("<I", sum(len(encoded(start)) for start in parts)))
    for start in parts:
        put(encoded(start))


def _tensor(note: TensorNote) -> bytes:
    number = tokens.number
    parts = [tokens.TENSOR, tokens.text(str(note.storage)), tokens.AFTER_STORAGE_NUMBER, number(note.storage_length)]
    parts += [tokens.AFTER_STORAGE_LENGTH, number(note.offset)]
    for numbers in (note.size, note.stride):
        parts += [b"(", *map(number, numbers), b"t"]
    dtype = str(note.dtype).removeprefix("torch.").encode()
    return b"".join([*parts, tokens.AFTER_STRIDES, dtype, tokens.AFTER_DTYPE])
