"""Evaluation: a plain function that counts each sample once and leaves no trace in the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.data.batches import Batches
from holdfast.engine.device import to_device
from holdfast.engine.system import LossFunction, Metrics
from holdfast.engine.update import Tally
from holdfast.randomness import Keys, seed_all, undisturbed


@dataclass(frozen=True)
class Evaluation:
    """How a model is judged: on which batches, by which loss and metrics."""

    batches: Batches
    loss: LossFunction
    metrics: Callable[[], Metrics] | None
    pictures: Callable[[nn.Module, Any], dict[str, Tensor]] | None
    noise: Keys
    device: torch.device


@dataclass(frozen=True)
class Scores:
    """What an evaluation came to."""

    values: dict[str, float]
    """`Loss` and every metric, by name."""
    pictures: dict[str, Tensor]


def evaluate(
    evaluation: Evaluation, model: nn.Module, *, progress: Callable[[int], None] = lambda done: None
) -> Scores:
    """Gives the loss and the metrics of a model over all batches, and pictures of the first one.

    The model is in evaluation mode meanwhile; its modes and the global generators are put back after.
    `progress` is told how many batches are done; what it raises ends the evaluation.
    """
    tally = Tally()
    metrics = evaluation.metrics() if evaluation.metrics else None
    pictures: dict[str, Tensor] = {}
    with evaluation_mode(model), torch.no_grad(), undisturbed():
        for number, fetched in enumerate(evaluation.batches.epoch()):
            seed_all(evaluation.noise(number))
            batch = to_device(fetched, evaluation.device)
            loss = evaluation.loss(model, batch)
            tally.add(loss.total, loss.weight, loss.parts)
            if metrics:
                metrics.update(loss.outputs, batch)
            if number == 0 and evaluation.pictures:
                pictures = evaluation.pictures(model, batch)
            progress(number + 1)
    value, parts = tally.means()
    return Scores({"Loss": value, **parts, **(metrics.result() if metrics else {})}, pictures)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts the model into evaluation mode for a block, and each of its modules back to its own mode after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
