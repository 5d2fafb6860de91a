"""Glint's own past: the checkpoints of its first training script, whose network had other names for the same parts.

The names are not needed. Kernels tell what a weight belongs to: 3x3 to a block, 2x2 to a step up, 1x1 to the head; and
the order in the file tells which of them it is: four blocks down, the bottleneck, the blocks up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.layouts.keyed import Keyed
from holdfast.checkpoint.layouts.layout import WEIGHTS, Translated
from holdfast.checkpoint.layouts.source import Source

_BLOCKS_DOWN = 4
_CONVOLUTIONS_IN_BLOCK = (0, 3)
"""Where in a block the two are; each has its normalisation right behind it."""


@dataclass(frozen=True, kw_only=True)
class FirstScript(Keyed):
    """The dictionary that the script wrote, with the weights under the names that they have today."""

    def translate(self, source: Source) -> Translated:
        """Gives what is there, and renames the weights."""
        found = super().translate(source)
        return replace(found, state={**found.state, WEIGHTS: todays_names(found.state[WEIGHTS])})


def todays_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the weights of a U-Net, in their order, under the names of `UNet`; what is no part of one keeps its own."""
    if "image_size" in weights:
        return dict(weights)
    renamed: dict[str, Any] = {}
    convolutions, ups, here = 0, 0, ""
    for name, value in weights.items():
        last = name.rpartition(".")[2]
        kernel = tuple(value.shape[2:]) if isinstance(value, Tensor) and value.dim() == 4 else None
        if kernel == (3, 3):
            block, second = divmod(convolutions, 2)
            place = _CONVOLUTIONS_IN_BLOCK[second]
            convolutions += 1
            renamed[f"{_block(block)}.{place}.weight"] = value
            here = f"{_block(block)}.{place + 1}"
        elif kernel == (2, 2):
            here = f"up.{ups}"
            ups += 1
            renamed[f"{here}.weight"] = value
        elif kernel == (1, 1):
            here = "head"
            renamed["head.weight"] = value
        else:
            renamed[f"{here}.{last}" if here else name] = value
    # It was not kept: the next training step notes it.
    return renamed | {"image_size": torch.zeros(2, dtype=torch.int64)}


def _block(number: int) -> str:
    if number < _BLOCKS_DOWN:
        return f"encoder.{number}"
    return "bottleneck" if number == _BLOCKS_DOWN else f"decoder.{number - _BLOCKS_DOWN - 1}"


LAYOUTS = (
    FirstScript(
        name="Glint's first script",
        marks=frozenset({"epoch", "model_state_dict", "train_args"}),
        parts={
            "epoch": "epoch",
            "model_state_dict": "model_state_dict",
            "optimizer_state_dict": "optimizer_state_dict",
            "metrics": "metrics",
            "config": "train_args",
        },
        # `epoch` was counted from 1: the last finished one is how many are finished.
        epoch_means="finished",
        # It was left out with --no_save_optimizer.
        optional=frozenset({"optimizer_state_dict"}),
    ),
)
