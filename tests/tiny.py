"""A system of a few parameters for tests, with random augmentation, dropout and batch normalisation."""

from __future__ import annotations

import os
import random
import time
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from holdfast.config import Config, DataSection, Section, Training
from holdfast.engine.system import Data, Loss, System


class TinyModel(Section):
    width: int = 4
    dropout: float = 0.3


class TinyData(DataSection):
    samples: int = 20
    bad: int | None = None
    """A sample that raises."""
    pause: float = 0.0
    """Seconds that a sample takes."""


class Squared(Section):
    name: Literal["squared"] = "squared"
    explode_at: int | None = None


class Absolute(Section):
    name: Literal["absolute"] = "absolute"


class TinyConfig(Config):
    model: TinyModel = TinyModel()
    data: TinyData = TinyData()
    loss: Squared | Absolute = Squared()
    training: Training = Training(lr=0.05, batch_size=4, epochs=3, monitor="val/error")


class Noisy(Dataset):
    def __init__(self, samples: int, bad: int | None = None, pause: float = 0.0) -> None:
        generator = np.random.default_rng(0)
        self.inputs = generator.normal(size=(samples, 3)).astype("float32")
        self.bad, self.pause = bad, pause

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int):
        if index == self.bad:
            raise ValueError("torn image")
        if self.pause:
            time.sleep(self.pause)
        row = torch.from_numpy(self.inputs[index])
        shift = random.random() + np.random.rand() + float(torch.rand(()))
        return row + 0.1 * shift, row.sum().unsqueeze(0)


class Error:
    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, outputs, batch) -> None:
        self.total += float((outputs - batch[1]).abs().sum())
        self.count += len(outputs)

    def result(self) -> dict[str, float]:
        return {"Error": self.total / max(self.count, 1)}


def make_model(config: TinyConfig) -> nn.Module:
    width = config.model.width
    return nn.Sequential(
        nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(config.model.dropout), nn.Tanh(), nn.Linear(width, 1)
    )


def make_loss(config: TinyConfig):
    counted = 0

    def loss(model: nn.Module, batch) -> Loss:
        nonlocal counted
        outputs = model(batch[0])
        kind = F.l1_loss if config.loss.name == "absolute" else F.mse_loss
        total = kind(outputs, batch[1], reduction="sum")
        if model.training:
            counted += 1
            if config.loss.name == "squared" and counted == config.loss.explode_at:
                total = total * float("inf")
        return Loss(total, float(len(outputs)), {"size": outputs.detach().abs().mean()}, outputs)

    return loss


def make_data(config: TinyConfig) -> Data:
    if "TINY_SAMPLES" in os.environ:
        return Data(train=Noisy(int(os.environ["TINY_SAMPLES"])), val=Noisy(6))
    return Data(train=Noisy(config.data.samples, config.data.bad, config.data.pause), val=Noisy(6))


system = System(
    name="tiny",
    config=TinyConfig,
    data=make_data,
    model=make_model,
    loss=make_loss,
    metrics=lambda config: Error(),
    named_by=("model.width", "training.lr"),
    options={"width": "model.width"},
)
