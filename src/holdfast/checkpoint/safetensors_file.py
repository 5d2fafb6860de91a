"""Weights as a file of safetensors: the length of a header, the header in JSON, and the bytes of all tensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.checkpoint.memory import as_buffer
from holdfast.errors import CheckpointError

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_METADATA = "__metadata__"
_AT_ONCE = 1 << 26


def write_safetensors(descriptor: int, weights: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Writes weights to an open, empty file; tensors that share memory are written once for each name.

    Args:
        descriptor: The file; the caller makes it durable.
        weights: Dense tensors by their names.
        notes: Texts that go into the header.

    Raises:
        CheckpointError: When a tensor has a type or a name that the format does not know; nothing has been written.
        OSError: When writing fails.
    """
    for name, tensor in weights.items():
        if tensor.dtype not in _TYPES or name == _METADATA:
            raise CheckpointError(
                f"`{name}` must be something that safetensors can hold, but got {tensor.dtype}; export to .pth instead."
            )
    # The larger types first, as the format's own library has it: then every tensor starts at a multiple of its type.
    names = sorted(weights, key=lambda name: -weights[name].dtype.itemsize)
    header: dict[str, object] = {_METADATA: dict(notes)}
    place = 0
    for name in names:
        tensor = weights[name]
        stop = place + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    _write(descriptor, memoryview(len(text).to_bytes(8, "little") + text))
    for name in names:
        if weights[name].numel():
            values = weights[name].detach().cpu().resolve_neg().contiguous()
            _write(descriptor, as_buffer(values.reshape(-1).view(torch.uint8)))


def _write(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content[:_AT_ONCE]) :]
