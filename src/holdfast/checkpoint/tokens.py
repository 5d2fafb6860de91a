"""The pieces of the pickle that holds the plain part of a checkpoint: a small fixed part of protocol 2."""

from __future__ import annotations

import struct

import torch

TEXT = b"X"


def text(value: str) -> bytes:
    """Gives the pickle of a string."""
    data = value.encode("utf-8", "surrogatepass")
    return TEXT + struct.pack("<I", len(data)) + data


def number(value: int | float | bool | None) -> bytes:
    """Gives the pickle of a number, a truth value or nothing."""
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"\x88" if value else b"\x89"
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    length = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)


START = b"\x80\x02"
END = b"."
TENSOR = b"ctorch._utils\n_rebuild_tensor_v3\n((" + text("storage") + b"ctorch.storage\nUntypedStorage\n"
"""Then the number of the storage, as text."""
AFTER_STORAGE_NUMBER = text("cpu")
AFTER_STORAGE_LENGTH = b"tQ"
"""Then the offset, the sizes and the strides."""
AFTER_STRIDES = b"\x89ccollections\nOrderedDict\n)Rctorch\n"
"""Then the name of the type."""
AFTER_DTYPE = b"\ntR"
BYTES = b"c_codecs\nencode\n("
"""Protocol 2 has no bytes; this is how pickle itself writes them there."""
AFTER_BYTES = text("latin1") + b"tR"
DTYPES = {
    name.encode(): value
    for name, value in vars(torch).items()
    if isinstance(value, torch.dtype) and str(value) == f"torch.{name}" and not name.startswith("q")
}
"""By name; without the quantized ones, whose tensors are more than their bytes."""
