"""The tiny system with a flaw of the name that the environment variable FLAW holds, each as people write them."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import torch
from torch import nn

from holdfast.data.order import Order
from holdfast.engine import state
from holdfast.engine.averaging import Average
from holdfast.engine.system import Data, Loss
from tests import tiny


class OwnGenerator(tiny.Noisy):
    """Draws from a generator that was made with the data set."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        self.generator = random.Random(0)

    def __getitem__(self, index: int):
        inputs, target = super().__getitem__(index)
        return inputs + self.generator.random(), target


class OwnListing(tiny.Noisy):
    """Lists its samples in an order that no seed decides."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        self.inputs = self.inputs[random.SystemRandom().sample(range(samples), samples)]


class OwnNoise(nn.Module):
    """Dropout by hand, from a generator of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, inputs):
        return inputs * torch.rand(inputs.shape, generator=self.generator) if self.training else inputs


class Stopwatch(tiny.Error):
    """A metric that depends on the process."""

    def result(self) -> dict[str, float]:
        return {**super().result(), "Pid": float(os.getpid())}


def has(flaw: str) -> bool:
    return os.environ.get("FLAW") == flaw


def make_data(config) -> Data:
    if has("order"):
        Order.indices = lambda self, epoch, start, stop: random.SystemRandom().sample(  # pyright: ignore[reportAttributeAccessIssue]
            range(self.length), min(stop, self.length) - start
        )
    kinds = {"augmentation": OwnGenerator, "samples": OwnListing}
    train = kinds.get(os.environ.get("FLAW", ""), tiny.Noisy)
    return Data(train=train(config.data.samples), val=tiny.Noisy(6))


def make_model(config) -> nn.Module:
    if has("optimizer"):
        state._restore_optimizer = lambda *args: None
    if has("averaged weights"):
        Average.load_state_dict = lambda self, state: None
    model = tiny.make_model(config)
    return nn.Sequential(OwnNoise(), model) if has("noise") else model


def make_loss(config):
    inner, calls = tiny.make_loss(config), 0

    def loss(model, batch) -> Loss:
        nonlocal calls
        calls += model.training
        given = inner(model, batch)
        return given._replace(total=given.total * (1 + calls)) if has("counter") else given

    return loss


system = replace(
    tiny.system,
    data=make_data,
    model=make_model,
    loss=make_loss,
    metrics=lambda config: Stopwatch() if has("history") else tiny.Error(),
)
