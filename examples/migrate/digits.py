"""The digits of the three scripts as a system of Holdfast, which goes on with what they have trained.

    holdfast train examples.migrate.digits:system --resume old/lightning/last.ckpt --epochs 6 --name digits

The network and the optimizer are those of the scripts. What the loop, the loader, the saving and the metrics did
there is not its business any more.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import holdfast
from holdfast.config import AdamW, DataSection, Section, Step, Training


class Model(Section):
    """A perceptron with batch normalisation."""

    width: int = 32


class Scans(DataSection):
    """1797 digits of 8 by 8 pixels; every fifth one is held out."""


class DigitsConfig(holdfast.Config):
    """The settings of the scripts."""

    model: Model = Model()
    data: Scans = Scans()
    training: Training = Training(
        lr=3e-3,
        batch_size=64,
        epochs=6,
        weight_decay=1e-2,
        optimizer=AdamW(),
        schedule=Step(at=(2, 4), gamma=0.5),
        monitor="val/acc",
        mode="max",
    )


def make_data(config: DigitsConfig) -> holdfast.Data:
    """Gives 1437 digits for training, and 360 that are held out."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return holdfast.Data(
        train=TensorDataset(images[~held_out], labels[~held_out]),
        val=TensorDataset(images[held_out], labels[held_out]),
    )


def make_model(config: DigitsConfig) -> nn.Module:
    """Gives the network; the names of its weights are those of the scripts."""
    width = config.model.width
    return nn.Sequential(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


def cross_entropy(model: nn.Module, batch: Any) -> holdfast.Loss:
    """Gives a sum over the batch and its weight."""
    images, labels = batch
    logits = model(images)
    return holdfast.Loss(F.cross_entropy(logits, labels, reduction="sum"), weight=len(labels), outputs=logits)


class Accuracy:
    """The share of digits that are read right, in percent."""

    def __init__(self) -> None:
        self.right = self.seen = 0

    def update(self, outputs: Tensor, batch: Any) -> None:
        """Counts one batch."""
        self.right += int((outputs.argmax(dim=1) == batch[1]).sum())
        self.seen += len(batch[1])

    def result(self) -> dict[str, float]:
        """Gives the share; 0 before anything was seen."""
        return {"Acc": 100 * self.right / max(1, self.seen)}


system = holdfast.System(
    name="migrated_digits",
    config=DigitsConfig,
    data=make_data,
    model=make_model,
    loss=lambda config: cross_entropy,
    metrics=lambda config: Accuracy(),
    named_by=("model.width", "training.lr"),
)
