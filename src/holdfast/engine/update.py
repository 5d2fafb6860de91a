"""One optimizer step: the only home of accumulation, weighting, clipping and the rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from holdfast.clock import Clock
from holdfast.data.batches import StepBatch
from holdfast.engine.averaging import Average
from holdfast.engine.device import to_device
from holdfast.engine.precision import Precision
from holdfast.engine.schedule import Schedule
from holdfast.engine.system import LossFunction
from holdfast.errors import NonFiniteLoss
from holdfast.randomness import Keys, seed_all
from holdfast.run.observer import StepReport


@dataclass
class Learner:
    """What learns: the model, its loss and its optimizer, with the rule for the rate."""

    model: nn.Module
    loss: LossFunction
    optimizer: Optimizer
    schedule: Schedule
    noise: Keys
    """The keys of dropout and other noise, by step and microbatch."""
    precision: Precision
    clip: float | None = None
    average: Average | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.precision.device

    def __post_init__(self) -> None:
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]


def update(learner: Learner, clock: Clock, batch: StepBatch) -> StepReport:
    """Makes one optimizer step and reports it.

        set the rates from the schedule
        for each microbatch:
            set the global generators from (seed, stage, step, microbatch)
            loss, in the configured precision -> backward of its sum, divided by the weight of the whole step
        stop if the loss is not finite
        unscale, clip, step (a step whose scaled gradients overflow is left out), average

    The gradient is that of the mean over the whole step, however it was divided into microbatches.

    Raises:
        NonFiniteLoss: Before the parameters are touched, when the loss is not finite or the norm to be clipped is not.
            Without clipping a gradient is not looked at; a state that it has spoiled is refused when it is saved.
    """
    rate = _set_rates(learner, clock.step)
    for parameter in learner.parameters:
        parameter.grad = None
    tally = Tally()
    for number, microbatch in enumerate(batch.microbatches):
        seed_all(learner.noise(clock.step, number))
        with learner.precision.autocast():
            loss = learner.loss(learner.model, to_device(microbatch, learner.device))
        # One microbatch: its own weight is that of the step. Several: the samples stand in for the weight,
        # which is known only after the last one, and the gradients are corrected once if the two differ.
        divisor = loss.weight if len(batch.microbatches) == 1 else batch.samples
        # The share as the gradient of the sum: the bits of dividing the sum, without an operation to differentiate.
        scaled = _scaled(learner, loss.total)
        scaled.backward(torch.full_like(scaled, 1 / divisor))
        tally.add(loss.total.detach(), loss.weight, loss.parts)
    value, parts = tally.means()
    if len(batch.microbatches) > 1 and tally.weight not in (0, batch.samples):
        _scale_gradients(learner.parameters, batch.samples / tally.weight)
    norm = _clip(learner)
    # With a scaler an infinite gradient is no error: the step is left out and the scale lowered.
    if not math.isfinite(value) or not (learner.precision.scaler or math.isfinite(norm or 0.0)):
        raise NonFiniteLoss(_not_finite(clock.step + 1, value, parts, norm))
    if _step(learner) and learner.average:
        learner.average.update(learner.model)
    return StepReport(
        clock=clock.after_step(batch.samples),
        samples=batch.samples,
        weight=tally.weight,
        loss=value,
        parts=parts,
        rate=rate,
        gradient_norm=norm,
    )


class Tally:
    """Weighted means of a loss and its named parts."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.total = 0.0
        self.parts: dict[str, float] = {}

    def add(self, total: Tensor | float, weight: float, parts: Mapping[str, Any]) -> None:
        """Counts a sum with its weight, and parts that are means over that weight."""
        self.weight += weight
        self.total += float(total)
        for name, part in parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + float(part) * weight

    def means(self) -> tuple[float, dict[str, float]]:
        """Gives the mean of the loss and of each part (not a number when nothing was counted)."""
        weight = self.weight or math.nan
        return self.total / weight, {name: part / weight for name, part in self.parts.items()}


def _scaled(learner: Learner, loss: Tensor) -> Tensor:
    scaler = learner.precision.scaler
    return scaler.scale(loss) if scaler else loss


def _clip(learner: Learner) -> float | None:
    if learner.clip is None:
        return None
    if learner.precision.scaler:
        learner.precision.scaler.unscale_(learner.optimizer)
    return float(nn.utils.clip_grad_norm_(learner.parameters, learner.clip))


def _step(learner: Learner) -> bool:
    """Steps the optimizer and says whether it did: a scaler leaves out a step whose gradients overflowed."""
    scaler = learner.precision.scaler
    if scaler is None:
        learner.optimizer.step()
        return True
    scale = scaler.get_scale()
    scaler.step(learner.optimizer)
    scaler.update()
    return scaler.get_scale() >= scale


def _set_rates(learner: Learner, step: int) -> float:
    factor = learner.schedule(step)
    for group, base in zip(learner.optimizer.param_groups, learner.base_rates, strict=True):
        group["lr"] = base * factor
    return learner.base_rates[0] * factor


def _scale_gradients(parameters: list[nn.Parameter], factor: float) -> None:
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


def _not_finite(step: int, value: float, parts: Mapping[str, float], norm: float | None) -> str:
    named = "".join(f", {name} {part:g}" for name, part in parts.items())
    gradient = "" if norm is None else f", gradient norm {norm:g}"
    return (
        f"the loss of step {step} must be finite, but got {value:g}{named}{gradient}; "
        "try a lower `training.lr` or set `training.clip`"
    )
