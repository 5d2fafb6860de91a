"""Files of safetensors: the length of a header, the header in JSON, and the bytes of all tensors without a gap."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.refusals import Broken, Trap, shown
from holdfast.checkpoint.foreign.tensors import Bytes, mapped, view

METADATA = "__metadata__"
"""The key of a mapping of texts beside the tensors, in the file and in what is read from it."""
_LENGTH_BYTES = 8
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


def looks_like_safetensors(data: mmap.mmap) -> bool:
    """Says whether a file starts as one of safetensors does."""
    return data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and _header_length(data) <= len(data) - _LENGTH_BYTES


def read_safetensors(data: mmap.mmap, spending: Spending) -> dict[str, Any]:
    """Gives the tensors by their names, mapped into memory, and the metadata under its own key when there is some.

    Raises:
        Broken: When the header is not as it must be.
        Trap: When tensors overlap, leave gaps, or do not fit their bytes.
    """
    start = _LENGTH_BYTES + _header_length(data)
    header = _header(data[_LENGTH_BYTES:start], spending)
    content: dict[str, Any] = {}
    metadata = header.pop(METADATA, None)
    if metadata is not None:
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise Broken("its metadata is not a mapping of texts")
        content[METADATA] = metadata
    notes = {name: _note(name, note) for name, note in header.items()}
    _refuse_gaps(notes, len(data) - start)
    for name, (dtype, shape, first, stop) in notes.items():
        content[name] = _tensor(mapped(data, start + first, stop - first), dtype, shape, spending)
    return content


_MOST_DIMENSIONS = 64
"""As many as a tensor can have."""


def _header_length(data: mmap.mmap) -> int:
    return int.from_bytes(data[:_LENGTH_BYTES], "little")


def _header(text: bytes, spending: Spending) -> dict[str, Any]:
    if len(text) > spending.limits.header_bytes:
        raise Trap(f"it is a file of safetensors with a header of more than {spending.limits.header_bytes} bytes")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Broken("it is a file of safetensors whose header is no JSON") from error
    if not isinstance(header, dict):
        raise Broken("it is a file of safetensors whose header is no JSON")
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Trap("it is a file of safetensors that names something twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _note(name: str, note: Any) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    """Gives type, shape, first byte and the one after the last, as the header says."""
    match note:
        case {"dtype": str() as kind, "shape": list() as shape, "data_offsets": [int() as first, int() as stop]}:
            if kind not in _DTYPES:
                raise Broken(f"its tensor `{shown(name)}` has the type {shown(kind)}, which is not known")
            is_shape = len(shape) <= _MOST_DIMENSIONS and all(type(n) is int and 0 <= n < 1 << 63 for n in shape)
            if is_shape and 0 <= first <= stop:
                return _DTYPES[kind], tuple(shape), first, stop
    raise Broken(f"its tensor `{shown(name)}` is not described as it must be")


def _refuse_gaps(notes: Mapping[str, tuple[torch.dtype, tuple[int, ...], int, int]], length: int) -> None:
    position = 0
    for name, (dtype, shape, first, stop) in sorted(notes.items(), key=lambda item: item[1][2:]):
        if first != position:
            raise Trap(f"its tensor `{shown(name)}` overlaps another one, or leaves a gap")
        if stop - first != math.prod(shape) * dtype.itemsize:
            raise Trap(f"its tensor `{shown(name)}` has other bytes than its shape needs")
        position = stop
    if position != length:
        raise Broken(f"its tensors have {position} bytes, but the file has {length} for them")


def _tensor(memory: Tensor, dtype: torch.dtype, shape: tuple[int, ...], spending: Spending) -> Tensor:
    strides = [1]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * max(length, 1))
    return view(Bytes(memory), dtype, (0, shape, tuple(strides[: len(shape)])), spending)
