"""A system of your own on real data: scikit-learn's handwritten digits.

    holdfast train examples.digits:system --name digits
    holdfast evaluate digits

A system is a value made of plain functions: a configuration, data, a model, a loss, and, if you like, metrics and a
picture for TensorBoard. The loop, saving, resuming and the curves are not its business.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import holdfast
from holdfast.config import Cosine, DataSection, Section, Training


class Model(Section):
    """A small convolutional network."""

    width: int = 16
    """Channels of its first layer; the second has twice as many."""
    dropout: float = 0.1


class Scans(DataSection):
    """1797 digits of 8 by 8 pixels; every fifth one is held out."""

    shift: int = 1
    """By how many pixels a training digit is moved at most, anew in each epoch."""


class DigitsConfig(holdfast.Config):
    """All settings, with the values that work."""

    model: Model = Model()
    data: Scans = Scans()
    training: Training = Training(lr=3e-3, batch_size=64, epochs=15, schedule=Cosine(), monitor="val/acc1", mode="max")


class Digits(Dataset[tuple[Tensor, Tensor]]):
    """Digits, each moved a little whenever it is looked at."""

    def __init__(self, images: Tensor, labels: Tensor, shift: int) -> None:
        self.images, self.labels, self.shift = images, labels, shift

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        if self.shift:
            down, right = torch.randint(-self.shift, self.shift + 1, (2,)).tolist()
            image = image.roll((down, right), dims=(1, 2))
        return image, self.labels[index]


def make_data(config: DigitsConfig) -> holdfast.Data:
    """Training digits that move, and held-out digits that stand still."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return holdfast.Data(
        train=Digits(images[~held_out], labels[~held_out], config.data.shift),
        val=Digits(images[held_out], labels[held_out], shift=0),
    )


def make_model(config: DigitsConfig) -> nn.Module:
    """Two convolutions and one linear layer."""
    width = config.model.width
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(config.model.dropout),
        nn.Linear(32 * width, 10),
    )


def cross_entropy(model: nn.Module, batch: Any) -> holdfast.Loss:
    """A sum over the batch and its weight, so that short batches and accumulation stay exact."""
    images, labels = batch
    logits = model(images)
    total = F.cross_entropy(logits, labels, reduction="sum")
    return holdfast.Loss(total, weight=len(labels), outputs=logits)


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
        return {"Acc1": 100 * self.right / max(1, self.seen)}


def draw(config: DigitsConfig, model: nn.Module, batch: Any) -> dict[str, Tensor]:
    """Draws the first digits of a batch in a row, eight times as large: green what is read right, red the rest."""
    images, labels = (part[:8] for part in batch)
    is_right = model(images).argmax(dim=1) == labels
    colours = torch.tensor([[255, 60, 60], [60, 255, 60]])[is_right.long().cpu()]
    row = images.cpu()[:, 0, :, :, None] * colours[:, None, None, :]
    large = row.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    return {"digits": torch.cat(list(large), dim=1).to(torch.uint8)}


system = holdfast.System(
    name="digits",
    config=DigitsConfig,
    data=make_data,
    model=make_model,
    loss=lambda config: cross_entropy,
    metrics=lambda config: Accuracy(),
    pictures=draw,
    named_by=("model.width", "training.lr"),
)
