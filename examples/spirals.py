"""A system of your own, whole: which of two spirals does a point belong to?

    holdfast train examples.spirals:system --name spirals
    holdfast evaluate spirals

It is a value made of plain functions. Nothing here knows how a run is saved or resumed, and kill -9 changes nothing:
the noise that `Spirals` adds to each point is keyed by the seed, the epoch and the point.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import holdfast
from holdfast.config import Cosine, DataSection, Section, Training


class Model(Section):
    """A small perceptron."""

    width: int = 64
    """Neurons of each of its two layers."""


class Points(DataSection):
    """Points on two spirals."""

    count: int = 400
    """Points for training; a quarter as many are held out."""
    noise: float = 0.05
    """How far points are moved, anew in each epoch."""


class SpiralsConfig(holdfast.Config):
    """All settings, with the values that work."""

    model: Model = Model()
    data: Points = Points()
    training: Training = Training(
        lr=0.02, batch_size=50, epochs=30, schedule=Cosine(), monitor="val/accuracy", mode="max"
    )


class Spirals(Dataset[tuple[Tensor, Tensor]]):
    """Points along two spirals, each moved a little whenever it is looked at."""

    def __init__(self, count: int, noise: float) -> None:
        self.turns = torch.linspace(0.25, 1.25, count)
        self.noise = noise

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        label = index % 2
        angle = 2 * torch.pi * self.turns[index] + torch.pi * label
        point = self.turns[index] * torch.stack([angle.cos(), angle.sin()])
        return point + self.noise * torch.randn(2), torch.tensor(label)


def make_data(config: SpiralsConfig) -> holdfast.Data:
    """Training points that move, and held-out points that stand still."""
    count = config.data.count
    return holdfast.Data(train=Spirals(count, config.data.noise), val=Spirals(count // 4, noise=0.0))


def make_model(config: SpiralsConfig) -> nn.Module:
    """Two hidden layers with dropout."""
    width = config.model.width
    return nn.Sequential(
        nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2)
    )


def cross_entropy(model: nn.Module, batch: Any) -> holdfast.Loss:
    """A sum over the batch and its weight, so that short batches and accumulation stay exact."""
    points, labels = batch
    logits = model(points)
    total = F.cross_entropy(logits, labels, reduction="sum")
    return holdfast.Loss(total, weight=len(labels), outputs=logits)


class Accuracy:
    """The share of points that are put on the right spiral."""

    def __init__(self) -> None:
        self.right = self.seen = 0

    def update(self, outputs: Tensor, batch: Any) -> None:
        """Counts one batch."""
        self.right += int((outputs.argmax(dim=1) == batch[1]).sum())
        self.seen += len(batch[1])

    def result(self) -> dict[str, float]:
        """Gives the share; 0 before anything was seen."""
        return {"Accuracy": self.right / max(1, self.seen)}


system = holdfast.System(
    name="spirals",
    config=SpiralsConfig,
    data=make_data,
    model=make_model,
    loss=lambda config: cross_entropy,
    metrics=lambda config: Accuracy(),
    named_by=("model.width", "training.lr"),
)
