"""The shape of a layout: how somebody else's checkpoint is told, and what it is in our words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from holdfast.checkpoint.layouts.source import Source

WEIGHTS = "model_state_dict"
PARTS = (
    "epoch",
    "step",
    "samples",
    WEIGHTS,
    "optimizer_state_dict",
    "scheduler_state_dict",
    "scaler_state_dict",
    "ema_state_dict",
    "rng_state",
    "data_state",
    "metric",
    "best_metric",
    "best_step",
    "metrics",
    "config",
)
"""What a checkpoint of ours can hold of a training, by the names that it has there."""


@dataclass(frozen=True)
class Left:
    """Something that was in a foreign checkpoint and has not been taken."""

    name: str
    """Where it was, as its writer calls it."""
    why: str


@dataclass(frozen=True)
class Translated:
    """A checkpoint in our words: only what was there."""

    layout: str
    """The name of the layout that it had."""
    path: Path
    state: Mapping[str, Any]
    """Parts by the names in `PARTS`. A part that is None was off when the checkpoint was written."""
    absent: tuple[str, ...] = ()
    """Parts that this layout never holds: they start anew."""
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()
    """What a person should know of how this was read, a line each."""
    opaque: tuple[str, ...] = ()
    """Objects of unknown classes that were named and not made."""
    in_order: bool = True
    """Whether the weights stand in the order of the network, in which an optimizer numbers its parameters. Files of
    safetensors are sorted by name: there only the network itself knows which number is which parameter."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Parts that this layout can hold, but this checkpoint does not: who needs one of them must refuse."""
        return tuple(part for part in PARTS if part not in self.state and part not in self.absent)


class Layout(Protocol):
    """One way in which checkpoints are laid out. A system brings those of its own past as `System.layouts`."""

    @property
    def name(self) -> str:
        """What it is called in messages: `Lightning`, `Glint before 2024`."""
        ...

    def recognises(self, source: Source) -> bool:
        """Says whether this is one of its own; looks at names and kinds only, and is sure rather than generous."""
        ...

    def translate(self, source: Source) -> Translated:
        """Gives the checkpoint in our words.

        Raises:
            CheckpointError: When it is one of its own but cannot be used.
        """
        ...
