"""What is known of PyTorch: tensors and parameters as tensors on the CPU; shapes, devices and types as plain values.

Gradients and attributes of tensors are left out. Quantized, nested, compressed and empty ("meta") tensors
stay opaque.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.foreign.parts import Knowledge, Part, Parts, expect, value_of
from holdfast.checkpoint.foreign.refusals import Broken, Trap
from holdfast.checkpoint.foreign.storages import Storage
from holdfast.checkpoint.foreign.tensors import view
from holdfast.checkpoint.foreign.torch_old import storage_in

_QUANTIZED = {torch.qint8, torch.quint8, torch.qint32, torch.quint4x2, torch.quint2x4}
_DTYPES = {value for value in vars(torch).values() if isinstance(value, torch.dtype)} - _QUANTIZED
_LAYOUTS = {
    str(layout): layout
    for layout in (
        torch.strided,
        torch.sparse_coo,
        torch.sparse_csr,
        torch.sparse_csc,
        torch.sparse_bsr,
        torch.sparse_bsc,
    )
}


def _tensor(parts: Parts) -> Tensor:
    """Gives a tensor over a storage that has a type."""
    storage, _, _, _, *rest = parts.arguments
    hooks, metadata = (*rest[1:], None, None)[:2]
    expect(len(rest) <= 3 and _are_no_hooks(hooks))
    return _viewed(parts, value_of(storage, Storage).dtype, metadata)


def _tensor_with_type(parts: Parts) -> Tensor:
    """Gives a tensor over a storage without a type."""
    _, _, _, _, _, hooks, dtype, *rest = parts.arguments
    expect(len(rest) <= 1 and _are_no_hooks(hooks))
    return _viewed(parts, value_of(dtype, torch.dtype), rest[0] if rest else None)


def _viewed(parts: Parts, dtype: torch.dtype, metadata: Any) -> Tensor:
    storage, offset, size, stride = parts.arguments[:4]
    tensor = view(value_of(storage, Storage).stored, dtype, (offset, size, stride), parts.spending)
    for mark, resolved in (("conj", torch.conj_physical), ("neg", torch.neg)):
        if isinstance(metadata, dict) and metadata.get(mark) is True:
            parts.spending.bytes(tensor.nbytes)
            tensor = resolved(tensor)
    return tensor


def _parameter(parts: Parts) -> Tensor:
    tensor, *rest = parts.arguments
    expect(isinstance(tensor, Tensor) and all(map(_are_no_hooks, rest[1:2])))
    return tensor


def _moved(parts: Parts) -> Tensor:
    """Gives a tensor that was on a device whose tensors are written as those of the CPU."""
    tensor, dtype, *_ = parts.arguments
    expect(isinstance(tensor, Tensor) and tensor.dtype == value_of(dtype, torch.dtype))
    return tensor


def _are_no_hooks(value: Any) -> bool:
    """Says whether nothing stands where functions could: real files never have one there."""
    return value is None or (isinstance(value, dict) and not value)


def _sparse(parts: Parts) -> Tensor:
    """Gives a tensor of coordinates and values, after making sure that all coordinates lie inside of it."""
    layout, (indices, values, size, *is_coalesced) = value_of(parts.arguments[0], torch.layout), parts.arguments[1]
    expect(layout == torch.sparse_coo and isinstance(indices, Tensor) and isinstance(values, Tensor))
    parts.spending.tensor(indices.nbytes + values.nbytes)
    known = True if is_coalesced == [True] else None
    try:
        return torch.sparse_coo_tensor(indices, values, size, check_invariants=True, is_coalesced=known)
    except RuntimeError as error:
        raise Trap("it has a sparse tensor whose indices do not fit it") from error


def _storage_in_bytes(parts: Parts) -> Part:
    """Gives a storage that was pickled as bytes of PyTorch's older format, as in plain pickles of tensors."""
    (data,) = parts.arguments
    expect(isinstance(data, bytes))
    parts.spending.bytes(len(data))
    try:
        return storage_in(data, parts.spending)
    except Broken as error:
        raise Broken("it has a tensor whose bytes are cut off", error.advice) from error


def _size(parts: Parts) -> tuple[int, ...]:
    (lengths,) = parts.arguments
    expect(isinstance(lengths, tuple | list) and all(type(length) is int for length in lengths))
    return tuple(lengths)


def _device(parts: Parts) -> str:
    kind, *index = parts.arguments
    expect(isinstance(kind, str) and len(index) <= 1 and all(type(one) is int for one in index))
    return ":".join([kind, *map(str, index)])


def _layout(parts: Parts) -> Part:
    layout = _LAYOUTS[parts.arguments[0]]
    return Part(layout, lambda: str(layout))


def _dtype_part(dtype: torch.dtype) -> Part:
    return Part(dtype, lambda: str(dtype))


TORCH = Knowledge(
    called={
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_tensor_v3"): _tensor_with_type,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
        ("torch._utils", "_rebuild_sparse_tensor"): _sparse,
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _moved,
        ("torch._utils", "_rebuild_device_tensor_from_numpy"): _moved,
        ("torch._utils", "_rebuild_xla_tensor"): _moved,
        ("torch.nn", "Parameter"): _parameter,
        ("torch.nn", "Buffer"): _parameter,
        ("torch.storage", "_load_from_bytes"): _storage_in_bytes,
        ("torch", "Size"): _size,
        ("torch", "device"): _device,
        ("torch.serialization", "_get_layout"): _layout,
    },
    mentioned={("torch", str(dtype).removeprefix("torch.")): _dtype_part(dtype) for dtype in _DTYPES},
)
