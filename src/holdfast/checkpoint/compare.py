"""Two states compared part by part, and one hash of everything in a state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from holdfast.checkpoint.plain import KeyPath, spell


@dataclass(frozen=True)
class StateDifference:
    """One value that differs between two states."""

    path: KeyPath
    what: str
    """How it differs: the two values, the shapes, or how many numbers and by how much."""

    @property
    def place(self) -> str:
        """The place of the value as a user would write it."""
        return spell(self.path)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def digest(value: Any, *, size: int = 32) -> str:
    """Gives a hash of a value of any kind, to the last bit of every tensor, as hexadecimal digits.

    Objects count with their attributes. Equal values give equal hashes in every process.

    Args:
        value: Tensors, arrays, plain values, objects, and containers of these.
        size: Bytes of the hash.
    """
    hashed = hashlib.blake2b(digest_size=size)
    _feed(hashed, value)
    return hashed.hexdigest()


def state_differences(ours: Any, theirs: Any) -> Iterator[StateDifference]:
    """Gives every value that differs, to the last bit, between two states of plain values and tensors."""
    yield from _differences((), ours, theirs)


def _differences(path: KeyPath, ours: Any, theirs: Any) -> Iterator[StateDifference]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if key not in theirs or key not in ours:
                yield StateDifference((*path, key), f"only in the {'second' if key in theirs else 'first'}")
            else:
                yield from _differences((*path, key), ours[key], theirs[key])
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            yield StateDifference(path, f"{len(ours)} and {len(theirs)} entries")
        for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
            yield from _differences((*path, number), our, their)
    elif digest(ours) != digest(theirs):
        yield StateDifference(path, _unequal(ours, theirs))


def _unequal(ours: Any, theirs: Any) -> str:
    if not (isinstance(ours, Tensor) and isinstance(theirs, Tensor)):
        return f"{_short(ours)} and {_short(theirs)}"
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return f"{list(ours.shape)} {ours.dtype} and {list(theirs.shape)} {theirs.dtype}"
    if ours.is_complex():
        ours, theirs = torch.view_as_real(ours), torch.view_as_real(theirs)
    gaps = (ours.double() - theirs.double()).abs()
    return f"{int((gaps != 0).sum())} of {gaps.numel()} numbers, by at most {float(gaps.max()):.3g}"


def _short(value: Any) -> str:
    text = f"a tensor of {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def _feed(hashed: _Hash, value: Any) -> None:
    if isinstance(value, Tensor):
        _feed_tensor(hashed, value)
    elif isinstance(value, np.ndarray | np.generic):
        hashed.update(f"array {value.dtype} {value.shape}:".encode())
        if value.dtype.hasobject:
            _feed(hashed, value.tolist())
        else:
            hashed.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        hashed.update(f"mapping {len(value)}:".encode())
        for key, item in value.items():
            _feed(hashed, key)
            _feed(hashed, item)
    elif isinstance(value, list | tuple):
        hashed.update(f"sequence {len(value)}:".encode())
        for item in value:
            _feed(hashed, item)
    elif isinstance(value, set | frozenset):
        _feed(hashed, sorted(digest(item) for item in value))
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        hashed.update(f"{type(value).__name__} {value!r};".encode())
    else:
        _feed_object(hashed, value)


def _feed_tensor(hashed: _Hash, tensor: Tensor) -> None:
    hashed.update(f"tensor {tensor.dtype} {tensor.layout}:".encode())
    if tensor.is_nested:
        _feed(hashed, tensor.unbind())
        return
    dense = tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg().contiguous()
    hashed.update(f"{tuple(plain.shape)}:".encode())
    hashed.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())


def _feed_object(hashed: _Hash, value: Any) -> None:
    hashed.update(f"object {type(value).__qualname__}:".encode())
    if hasattr(value, "tobytes"):  # pictures and other arrays of bytes
        hashed.update(value.tobytes())
    elif hasattr(value, "__dict__"):
        _feed(hashed, vars(value))
    elif " at 0x" not in (text := repr(value)):  # an address says nothing about the value
        hashed.update(text.encode())
