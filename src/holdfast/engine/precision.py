"""Mixed precision: in which type the forward pass computes, and how half precision keeps small gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from holdfast.errors import UserError

Amp = bool | Literal["bf16", "fp16"]


@dataclass(frozen=True)
class Precision:
    """The type of the forward pass, and the scaler of its gradients."""

    device: torch.device
    dtype: torch.dtype | None = None
    """None computes in the type of the weights."""
    scaler: torch.amp.GradScaler | None = None
    """Only half precision (fp16) needs one: its small gradients would become zero."""

    def autocast(self) -> AbstractContextManager[object]:
        """Gives the context in which the forward pass runs."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def __str__(self) -> str:
        return "full precision" if self.dtype is None else str(self.dtype).removeprefix("torch.")


def choose_precision(amp: Amp, device: torch.device) -> Precision:
    """Gives the precision that `training.amp` means on a device.

    `true` is the best that the device supports: on a GPU bf16, else fp16 with a scaler; on the CPU it is off.

    Raises:
        UserError: When the device cannot compute in the type that was asked for.
    """
    if amp is False or (amp is True and device.type == "cpu"):
        return Precision(device)
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported()
    if amp == "bf16" and not has_bf16:
        raise UserError(f"`training.amp` must be what {device} supports, but got bf16; use fp16, true or false.")
    if amp == "bf16" or (amp is True and has_bf16):
        return Precision(device, torch.bfloat16)
    return Precision(device, torch.float16, torch.amp.GradScaler(device.type))
