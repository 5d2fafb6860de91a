"""Where tensors live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.errors import UserError


def choose_device(name: str) -> torch.device:
    """Gives the device of that name; `auto` is the first CUDA device, else the CPU.

    Raises:
        UserError: When there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"`device` must be auto, cpu, cuda or cuda:N, but got {name!r}; use one of these.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(f"`device` must exist, but got {name!r} and there are {count} CUDA devices; use --device auto.")
    return device


def to_device(batch: Any, device: torch.device) -> Any:
    """Gives the batch with every tensor in it on the device; what is there already is not copied."""
    if device.type == "cpu":
        return batch
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
