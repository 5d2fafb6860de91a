"""What the loop tells those who watch it: frozen reports, read only.

An observer may write, draw or count; it never changes the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from holdfast.clock import Clock


class StepReport(NamedTuple):
    """What one optimizer step did; the clock already counts it. A tuple, for one is made at every step."""

    clock: Clock
    samples: int
    loss: float
    rate: float
    """The learning rate that this step used."""
    parts: Mapping[str, float] = {}
    weight: float = 1.0
    """What the mean was taken over: samples, tokens, boxes."""
    gradient_norm: float | None = None
    """The norm before clipping; None when nothing is clipped."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What one epoch came to; the clock already counts it."""

    clock: Clock
    rate: float
    """The learning rate of the last step of the epoch."""
    train: Mapping[str, float]
    """`Loss` and the other means over the epoch, by name."""
    val: Mapping[str, float] = field(default_factory=dict)
    """`Loss` and the metrics of the evaluation, by name; empty when none was due."""
    is_best: bool = False
    best: float | None = None
    """The best value of the monitored metric so far."""


class Observer(Protocol):
    """Somebody who watches the loop."""

    def after_step(self, report: StepReport) -> None:
        """Is called after each optimizer step."""
        ...

    def after_epoch(self, report: EpochReport, pictures: Mapping[str, Any]) -> None:
        """Is called after each epoch and its evaluation; pictures are uint8 [height, width, 3] by name."""
        ...
