"""The state without its bytes: plain values, and notes in the places of tensors.

The decoder is no stack machine: it reads what the encoder writes, byte for byte, and refuses everything else. It
imports nothing and calls nothing, whatever the bytes say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint import tokens
from holdfast.checkpoint.plain import COUNTS_BELOW, MAX_DEPTH, KeyPath, is_too_large

_LONGEST_TYPE = max(map(len, tokens.DTYPES)) + 1


class SkeletonError(Exception):
    """Bytes that the encoder would never produce."""


@dataclass(frozen=True, slots=True)
class TensorNote:
    """A tensor without its bytes: which storage it lies in, and how."""

    storage: int
    storage_length: int
    dtype: torch.dtype
    offset: int
    """In elements, like the strides."""
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def stop(self) -> int:
        """Gives the byte of the storage after the tensor's last."""
        return (self.offset + elements_spanned(self.size, self.stride)) * self.dtype.itemsize


def elements_spanned(size: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Gives how many elements lie between a tensor's first and its last, both included."""
    return 0 if 0 in size else 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True))


def decode(data: bytes) -> Any:
    """Gives the state of an encoded skeleton, with a `TensorNote` in the place of each tensor.

    Raises:
        SkeletonError: For anything that the encoder does not write; no other error, whatever the bytes are.
    """
    return _Decoder(data).state()


def with_tensors(value: Any, make: Callable[[KeyPath, TensorNote], Tensor], path: KeyPath = ()) -> Any:
    """Gives a decoded state in which each note has been replaced by the tensor that `make` gives for it."""
    if isinstance(value, TensorNote):
        return make(path, value)
    if isinstance(value, dict):
        return {key: with_tensors(item, make, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [with_tensors(item, make, (*path, index)) for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    return value


def notes_in(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, TensorNote]]:
    """Gives the notes in a decoded state with their places, in order."""
    if isinstance(value, TensorNote):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from notes_in(item, (*path, key))


class _Decoder:
    """Reads values one after another; `_position` is where the next one begins."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def state(self) -> Any:
        self._expect(tokens.START)
        value = self._value(0)
        self._expect(tokens.END)
        if self._position != len(self._data):
            raise SkeletonError("it does not end where it should")
        return value

    def _value(self, depth: int) -> Any:
        """Gives the next value; `depth` containers lie around it."""
        match operation := self._take(1):
            case b"X":
                return self._text()
            case b"J" | b"\x8a":
                return self._integer(operation)
            case b"G":
                return struct.unpack(">d", self._take(8))[0]
            case b"N":
                return None
            case b"\x88" | b"\x89":
                return operation == b"\x88"
            case b"c":
                self._position -= 1
                return self._tensor() if self._is_next(tokens.TENSOR) else self._bytes()
            case b"}":
                self._expect(b"(")
                return self._dictionary(depth + 1)
            case b"]":
                self._expect(b"(")
                return self._values(b"e", depth + 1)
            case b"(":
                return tuple(self._values(b"t", depth + 1))
        raise SkeletonError(f"the operation {operation!r} is not allowed")

    def _dictionary(self, depth: int) -> dict[str | int, Any]:
        self._limit(depth)
        found: dict[str | int, Any] = {}
        while not self._is_next(b"u"):
            key = self._value(depth)
            if type(key) not in (str, int) or key in found:
                raise SkeletonError("a key of a dictionary comes twice, or is neither text nor an integer")
            found[key] = self._value(depth)
        return found

    def _values(self, end: bytes, depth: int) -> list[Any]:
        self._limit(depth)
        found: list[Any] = []
        while not self._is_next(end):
            found.append(self._value(depth))
        return found

    def _limit(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise SkeletonError("it is nested too deeply")

    def _text(self) -> str:
        data = self._take(int.from_bytes(self._take(4), "little"))
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise SkeletonError(str(error)) from error

    def _integer(self, operation: bytes) -> int:
        length = b"" if operation == b"J" else self._take(1)
        data = self._take(length[0] if length else 4)
        value = int.from_bytes(data, "little", signed=True)
        if length and tokens.number(value) != operation + length + data:
            raise SkeletonError("an integer is written in another way than it should")
        return value

    def _bytes(self) -> bytes:
        if not self._is_next(tokens.BYTES + tokens.TEXT):
            raise SkeletonError("a name stands where a value should, and none but two are allowed")
        text = self._text()
        self._expect(tokens.AFTER_BYTES)
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError as error:
            raise SkeletonError(str(error)) from error

    def _tensor(self) -> TensorNote:
        self._expect(tokens.TEXT)
        storage = self._text()
        if not (len(storage) < 20 and storage.isdecimal() and str(int(storage)) == storage):
            raise SkeletonError("a storage is named in another way than by its number")
        self._expect(tokens.AFTER_STORAGE_NUMBER)
        length = self._count()
        self._expect(tokens.AFTER_STORAGE_LENGTH)
        offset, size, stride = self._count(), self._counts(), self._counts()
        self._expect(tokens.AFTER_STRIDES)
        name = self._data[self._position : self._position + _LONGEST_TYPE].split(b"\n", 1)[0]
        dtype = tokens.DTYPES.get(name)
        self._expect(name + tokens.AFTER_DTYPE)
        if dtype is None or len(size) != len(stride) or is_too_large(size, dtype):
            raise SkeletonError("a tensor is described that cannot be")
        return TensorNote(int(storage), length, dtype, offset, size, stride)

    def _counts(self) -> tuple[int, ...]:
        self._expect(b"(")
        found: list[int] = []
        while not self._is_next(b"t"):
            found.append(self._count())
        return tuple(found)

    def _count(self) -> int:
        operation = self._take(1)
        value = self._integer(operation) if operation in (b"J", b"\x8a") else -1
        if not 0 <= value < COUNTS_BELOW:
            raise SkeletonError("a tensor is described by something else than counts")
        return value

    def _is_next(self, expected: bytes) -> bool:
        """Says whether the next bytes are these, and then goes past them."""
        is_next = self._data.startswith(expected, self._position)
        self._position += len(expected) if is_next else 0
        return is_next

    def _expect(self, expected: bytes) -> None:
        if not self._is_next(expected):
            found = self._data[self._position : self._position + 1]
            raise SkeletonError(f"the operation {found!r} at byte {self._position} is not allowed")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._position : self._position + count]
        if len(taken) != count:
            raise SkeletonError("it ends too early")
        self._position += count
        return taken
