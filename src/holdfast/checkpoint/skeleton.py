"""The state without its bytes: plain values and notes of tensors, as a pickle that PyTorch opens.

The encoder writes a small fixed part of pickle's protocol 2 (the same state always gives the same bytes), and the
decoder reads that part and nothing else: it imports nothing and calls nothing, whatever the bytes say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.plain import MAX_DEPTH, KeyPath

_REBUILD = b"torch._utils\n_rebuild_tensor_v3\n"
_STORAGE = b"torch.storage\nUntypedStorage\n"
_ORDERED_DICT = b"collections\nOrderedDict\n"
_ENCODE = b"_codecs\nencode\n"
_DTYPES = {f"torch\n{name}\n".encode(): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


_SIMPLE: Mapping[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b"}": dict,
    b"]": list,
    b")": tuple,
}


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


def encode(state: Mapping[str, Any], notes: Mapping[KeyPath, TensorNote]) -> bytes:
    """Gives the pickle of a state that `tensors_of` has accepted, with a note in the place of each tensor."""
    out = [b"\x80\x02"]
    _encode(dict(state), (), notes, out.append)
    return b"".join([*out, b"."])


def _encode(value: Any, path: KeyPath, notes: Mapping[KeyPath, TensorNote], put: Callable[[bytes], None]) -> None:
    if isinstance(value, Tensor):
        put(_tensor(notes[path]))
    elif isinstance(value, dict):
        put(b"}(")
        for key, item in value.items():
            put(_scalar(key))
            _encode(item, (*path, key), notes, put)
        put(b"u")
    elif isinstance(value, list | tuple):
        put(b"](" if isinstance(value, list) else b"(")
        for index, item in enumerate(value):
            _encode(item, (*path, index), notes, put)
        put(b"e" if isinstance(value, list) else b"t")
    else:
        put(_scalar(value))


def _scalar(value: str | int | float | bool | bytes | None) -> bytes:
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"\x88" if value else b"\x89"
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        length = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)
    if isinstance(value, bytes):
        # Protocol 2 has no bytes; this is how pickle itself writes them there.
        return b"c" + _ENCODE + b"(" + _scalar(value.decode("latin-1")) + _scalar("latin1") + b"tR"
    text = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(text)) + text


def _tensor(note: TensorNote) -> bytes:
    storage = b"(" + _scalar("storage") + b"c" + _STORAGE + _scalar(str(note.storage)) + _scalar("cpu")
    parts = [b"c" + _REBUILD + b"(" + storage + _scalar(note.storage_length) + b"tQ" + _scalar(note.offset)]
    for numbers in (note.size, note.stride):
        parts += [b"(", *map(_scalar, numbers), b"t"]
    dtype = b"c" + str(note.dtype).replace(".", "\n").encode() + b"\n"
    return b"".join([*parts, _scalar(False), b"c" + _ORDERED_DICT + b")R", dtype, b"tR"])


@dataclass(frozen=True, slots=True)
class _Name:
    """A global name in the pickle; never looked up."""

    text: bytes


@dataclass(frozen=True, slots=True)
class _Storage:
    """A reference to a storage in the pickle."""

    index: int
    length: int


def decode(data: bytes) -> Any:
    """Gives the state of an encoded skeleton, with a `TensorNote` in the place of each tensor.

    Raises:
        SkeletonError: For anything that `encode` does not write.
    """
    try:
        return _Decoder(data).run()
    except SkeletonError:
        raise
    except (struct.error, IndexError, ValueError, TypeError, KeyError) as error:
        raise SkeletonError(str(error)) from error


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
    """Gives the notes in a decoded state with their places, in order.

    Raises:
        SkeletonError: For anything in it that is neither a note nor plain.
    """
    if isinstance(value, TensorNote):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from notes_in(item, (*path, key))
    elif value is not None and not isinstance(value, str | int | float | bytes):
        raise SkeletonError("a name stands where a value should")


class _Decoder:
    """A stack machine with the twenty operations that the encoder uses."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []

    def run(self) -> Any:
        if self._take(2) != b"\x80\x02":
            raise SkeletonError("it does not start as protocol 2")
        while (operation := self._take(1)) != b".":
            self._step(operation)
        (value,) = self._stack
        if self._below or self._position != len(self._data):
            raise SkeletonError("it does not end where it should")
        return value

    def _step(self, operation: bytes) -> None:
        match operation:
            case b"(":
                self._open()
            case b"u" | b"e" | b"t":
                self._close(operation)
            case b"Q":
                self._stack.append(_storage(self._stack.pop()))
            case b"R":
                arguments = self._stack.pop()
                self._stack.append(_call(self._stack.pop(), arguments))
            case _ if operation in _SIMPLE:
                self._stack.append(_SIMPLE[operation]())
            case _:
                self._stack.append(self._value(operation))

    def _value(self, operation: bytes) -> Any:
        match operation:
            case b"J":
                return struct.unpack("<i", self._take(4))[0]
            case b"\x8a":
                return int.from_bytes(self._take(self._take(1)[0]), "little", signed=True)
            case b"G":
                return struct.unpack(">d", self._take(8))[0]
            case b"X":
                return self._take(struct.unpack("<I", self._take(4))[0]).decode("utf-8", "surrogatepass")
            case b"c":
                return _Name(self._line() + self._line())
        raise SkeletonError(f"the operation {operation!r} is not allowed")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._position : self._position + count]
        if len(taken) != count:
            raise SkeletonError("it ends too early")
        self._position += count
        return taken

    def _line(self) -> bytes:
        return self._take(self._data.index(b"\n", self._position) + 1 - self._position)

    def _open(self) -> None:
        if len(self._below) > MAX_DEPTH + 4:
            raise SkeletonError("it is nested too deeply")
        self._below.append(self._stack)
        self._stack = []

    def _close(self, operation: bytes) -> None:
        items, self._stack = self._stack, self._below.pop()
        if operation == b"t":
            self._stack.append(tuple(items))
        elif operation == b"e" and self._stack[-1] == []:
            self._stack[-1].extend(items)
        elif operation == b"u" and self._stack[-1] == {} and all(type(key) in (str, int) for key in items[::2]):
            self._stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            raise SkeletonError("items without a list or a dictionary")


def _storage(reference: Any) -> _Storage:
    kind, name, index, device, length = reference
    if (kind, name, device) != ("storage", _Name(_STORAGE), "cpu") or str(int(index)) != index:
        raise SkeletonError("a storage is described in another way")
    return _Storage(int(index), length)


def _call(function: Any, arguments: Any) -> Any:
    """Does what the three names that the encoder writes stand for, without calling them."""
    if function == _Name(_ORDERED_DICT) and arguments == ():
        return function
    if function == _Name(_ENCODE):
        text, encoding = arguments
        if encoding == "latin1":
            return text.encode("latin-1")
    if function == _Name(_REBUILD):
        storage, offset, size, stride, requires_grad, hooks, dtype = arguments
        numbers = (offset, *size, *stride)
        expected = type(storage) is _Storage and requires_grad is False and hooks == _Name(_ORDERED_DICT)
        if expected and len(size) == len(stride) and all(type(number) is int and number >= 0 for number in numbers):
            return TensorNote(storage.index, storage.length, _DTYPES[dtype.text], offset, size, stride)
    raise SkeletonError("a name that is not allowed is called")
