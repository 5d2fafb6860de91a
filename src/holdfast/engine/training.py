"""A training as one value: everything the loop needs, put together by the assembly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from holdfast.clock import Clock, Every
from holdfast.data.batches import Batches
from holdfast.data.streams import StreamBatches
from holdfast.engine.evaluate import Evaluation
from holdfast.engine.update import Learner, Tally
from holdfast.run.observer import Observer


@dataclass(frozen=True)
class Plan:
    """How long a stage is, counted in epochs or in steps."""

    steps_per_epoch: int
    epochs: int | None
    steps: int | None
    eval_interval: int = 1
    patience: int | None = None
    """Evaluations without a new best after which the stage ends early."""

    @property
    def total_steps(self) -> int:
        """Steps from the start to the end."""
        return self.steps if self.steps is not None else (self.epochs or 0) * self.steps_per_epoch

    def epoch_is_over(self, clock: Clock) -> bool:
        """Whether every step of the current epoch is done, but the epoch is not closed yet."""
        return clock.step >= (clock.epoch + 1) * self.steps_per_epoch

    def has_next_step(self, clock: Clock) -> bool:
        """Whether the current epoch goes on with another step."""
        return clock.step < self.total_steps and not self.epoch_is_over(clock)

    def is_over(self, clock: Clock) -> bool:
        """Whether every step is done and every whole epoch among them is closed."""
        return clock.step >= self.total_steps and not self.epoch_is_over(clock)

    def evaluation_is_due(self, clock: Clock) -> bool:
        """Whether the state at a closed epoch is to be evaluated; the last one always is."""
        return clock.step >= self.total_steps or clock.epoch % self.eval_interval == 0


@dataclass(frozen=True)
class Goal:
    """Which metric says that one state is better than another."""

    monitor: str
    """`val/f1`: the part before the slash is `train` or `val`, the rest a name on the curves, in any case."""
    mode: Literal["min", "max"]

    def value_of(self, scores: dict[str, float]) -> float | None:
        """Gives the monitored value among scores named like `val/F1`; None when it is not there."""
        found = [value for name, value in scores.items() if name.lower() == self.monitor.lower()]
        return found[0] if found else None

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether `value` beats `best`; not a number never does."""
        if best is None or math.isnan(value):
            return not math.isnan(value)
        return value < best if self.mode == "min" else value > best


@dataclass
class Record:
    """What is remembered beside the weights: the best, the last evaluation, and the means of the epoch in progress."""

    metric: float | None = None
    """The monitored value of the state as it is now; None when it has not been evaluated."""
    best_metric: float | None = None
    best_step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """The last evaluation, by name."""
    closed_at: int | None = None
    """The step at which the last epoch, or the end, was closed."""
    since_best: int = 0
    """Evaluations since the best one."""
    tally: Tally = field(default_factory=Tally)
    rate: float = 0.0
    """The rate of the last step."""


@dataclass(frozen=True)
class SavePlan:
    """When a state is saved under a number of its own."""

    every: Sequence[Every]
    unit: Literal["epochs", "steps"]
    milestones: frozenset[int] = frozenset()

    def is_due(self, before: Clock, after: Clock) -> bool:
        """Whether an interval or a milestone lies between the two clocks."""
        count = after.epoch if self.unit == "epochs" else after.step
        earlier = before.epoch if self.unit == "epochs" else before.step
        return any(every.is_due(before, after) for every in self.every) or (
            count != earlier and count in self.milestones
        )


class Progress(Protocol):
    """What saving and the status look at, whoever's loop it is."""

    clock: Clock
    plan: Plan
    goal: Goal
    save_plan: SavePlan
    record: Record

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        ...


@dataclass
class Training:
    """One stage of a run, ready to go on from its clock."""

    seed: int
    clock: Clock
    plan: Plan
    learner: Learner
    batches: Batches | StreamBatches
    evaluation: Evaluation | None
    goal: Goal
    save_plan: SavePlan
    observers: Sequence[Observer] = ()
    record: Record = field(default_factory=Record)

    @property
    def is_over(self) -> bool:
        """Whether the last state has been evaluated, after every step or after too long without a new best."""
        is_stopped = self.plan.patience is not None and self.record.since_best >= self.plan.patience
        return (is_stopped or self.plan.is_over(self.clock)) and self.record.closed_at == self.clock.step

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.learner.device
