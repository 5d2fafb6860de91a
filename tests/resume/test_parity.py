"""A training by Holdfast ends in the bits of a loop that is written by hand, and where a plain mean does not, how far.

The loop by hand takes from Holdfast what decides on chance: the order of the samples, the keys of their augmentation,
and the keys of dropout. Everything else is plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW

from holdfast.assembly import build_model
from holdfast.checkpoint import archive
from holdfast.cli.main import run
from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.engine.system import Data, Loss, System
from holdfast.randomness import Keys, seed_all
from tests.processes import digest
from tests.tiny import Noisy, TinyConfig

SEED, EPOCHS, RATE, CLIP, DECAY = 1000, 3, 0.05, 0.5, 0.01


class Labelled(Noisy):
    """Augmented rows with one of three classes."""

    def __getitem__(self, index):
        row, total = super().__getitem__(index)
        return row, (int(total > 0.5) + int(total > -0.5))


def make_classifier(config: TinyConfig) -> nn.Module:
    width = config.model.width
    body = (nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(config.model.dropout), nn.Tanh())
    return nn.Sequential(*body, nn.Linear(width, 3))


def make_loss(config: TinyConfig) -> Callable[..., Loss]:
    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Loss:
        inputs, targets = batch
        return Loss(F.cross_entropy(model(inputs), targets, reduction="sum"), len(targets))

    return loss


classes = System(
    name="classes",
    config=TinyConfig,
    data=lambda config: Data(train=Labelled(config.data.samples)),
    model=make_classifier,
    loss=make_loss,
)


@dataclass(frozen=True)
class Case:
    """What a training does; by default in full precision, one microbatch for each step, without clipping."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    amp: Literal["bf16"] | None = None
    batch_size: int = 6
    accumulation: int = 1
    clip: float | None = None
    samples: int = 22
    """The last step of an epoch is a short one."""

    def options(self) -> list[str]:
        """Gives the command line that asks for it."""
        optimizer = "{name: sgd, momentum: 0.9}" if self.optimizer == "sgd" else "adamw"
        words = ["--optimizer", optimizer, "--lr", str(RATE), "--weight-decay", str(DECAY), "--epochs", str(EPOCHS)]
        words += ["--batch-size", str(self.batch_size), "--accumulation", str(self.accumulation)]
        words += ["--data.samples", str(self.samples), "--seed", str(SEED), "--device", "cpu"]
        words += ["--amp", self.amp] if self.amp else []
        return words + (["--clip", str(self.clip)] if self.clip else [])


Learned = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Weights and buffers, and the moments of the optimizer, by name."""
MicrobatchLoss = Callable[[Tensor, Tensor, int, int], Tensor]
"""The loss of one microbatch from outputs, targets, and how many samples and microbatches its step has."""


def sum_over_the_step(outputs: Tensor, targets: Tensor, samples: int, microbatches: int) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="sum") / samples


def mean_of_means(outputs: Tensor, targets: Tensor, samples: int, microbatches: int) -> Tensor:
    """The loss that loops have which know nothing of their other microbatches; with one it is the plain mean."""
    return F.cross_entropy(outputs, targets) / microbatches


def by_holdfast(case: Case) -> Learned:
    """Trains with the command line."""
    words = ["train", "tests.resume.test_parity:classes", "--name", "parity", "--monitor", "train/loss"]
    assert run([*words, "--no-tensorboard", *case.options()]) == 0
    state = archive.read(Path("runs/parity/checkpoints/checkpoint_latest.pth"))
    return state["model_state_dict"], _moments(state["optimizer_state_dict"])


def by_hand(case: Case, loss_of_microbatch: MicrobatchLoss) -> Learned:
    """Trains with a loop that is written by hand."""
    batches = Batches(
        Composer(Labelled(case.samples), None, SEED, "train"),
        Order(case.samples, Keys(SEED, "train", "order")),
        batch_size=case.batch_size,
        accumulation=case.accumulation,
    )
    noise = Keys(SEED, "train", "noise")
    model = build_model(classes, TinyConfig(), torch.device("cpu"))
    if case.optimizer == "sgd":
        optimizer = SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=DECAY)
    else:
        optimizer = AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    with batches.from_step(0) as stream:
        for step in range(EPOCHS * batches.steps_per_epoch):
            batch = next(stream)
            optimizer.zero_grad()
            for number, (inputs, targets) in enumerate(batch.microbatches):
                seed_all(noise(step, number))
                with torch.autocast("cpu", torch.bfloat16) if case.amp else nullcontext():
                    loss = loss_of_microbatch(model(inputs), targets, batch.samples, len(batch.microbatches))
                loss.backward()
            if case.clip:
                nn.utils.clip_grad_norm_(model.parameters(), case.clip)
            optimizer.step()
    return model.state_dict(), _moments(optimizer.state_dict())


def _moments(state: dict) -> dict[str, Tensor]:
    return {f"{number}.{name}": v for number, one in state["state"].items() for name, v in one.items()}


def furthest(one: Learned, other: Learned) -> float:
    """Gives the largest difference between weights, as a share of the largest weight."""
    names = [name for name, tensor in one[0].items() if tensor.is_floating_point()]
    gap = max(float((one[0][name] - other[0][name]).abs().max()) for name in names)
    return gap / max(float(one[0][name].abs().max()) for name in names)


CASES = [
    Case(),
    Case("sgd"),
    Case(amp="bf16"),
    Case("sgd", amp="bf16"),
    Case(clip=CLIP),
    Case("sgd", clip=CLIP),
    Case(accumulation=3),
    Case("sgd", batch_size=8, accumulation=4),
    Case(batch_size=8, accumulation=2),
    Case(amp="bf16", accumulation=3, clip=CLIP),
    Case("sgd", amp="bf16", batch_size=8, accumulation=2, clip=CLIP),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_holdfast_ends_in_the_bits_of_a_loop_by_hand(here, case):
    assert digest(by_holdfast(case)) == digest(by_hand(case, sum_over_the_step))


EVEN = [
    Case(),
    Case("sgd"),
    Case(batch_size=7, samples=23),
    Case("sgd", amp="bf16", batch_size=10, samples=37),
    Case(clip=CLIP, amp="bf16"),
    Case(accumulation=3),
    Case("sgd", batch_size=9, accumulation=3, samples=27, clip=CLIP),
    Case(amp="bf16", batch_size=10, accumulation=2, samples=30),
]


@pytest.mark.parametrize("case", EVEN, ids=str)
def test_a_plain_mean_has_the_same_bits_where_the_microbatches_of_a_step_are_equally_large(here, case):
    assert digest(by_holdfast(case)) == digest(by_hand(case, mean_of_means))


@pytest.mark.parametrize("optimizer,at_least", [("adamw", 0.01), ("sgd", 0.01)])
def test_a_mean_of_means_is_another_training_where_the_last_microbatch_is_a_short_one(here, optimizer, at_least):
    # The last step of an epoch has microbatches of 4 and 2 samples: the mean of their means gives the two samples twice
    # the weight of the others. Holdfast trains on the mean over the six, and so ends elsewhere, on purpose.
    case = Case(optimizer, batch_size=8, accumulation=2)
    ours = by_holdfast(case)
    assert digest(ours) == digest(by_hand(case, sum_over_the_step))
    assert at_least < furthest(ours, by_hand(case, mean_of_means)) < 0.1


def gradients(name: str, count: int) -> tuple[Tensor, Tensor]:
    """Gives the gradient of a mean, and that which Holdfast takes: of the sum, with a share for each."""
    generator = torch.Generator().manual_seed(count)
    outputs = torch.randn(count, 10, generator=generator, requires_grad=True)
    classes, values = torch.randint(10, (count,), generator=generator), torch.rand(count, 10, generator=generator)
    loss, weight = {
        "cross_entropy": (lambda how: F.cross_entropy(outputs, classes, reduction=how), count),
        "mse_loss": (lambda how: F.mse_loss(outputs, values, reduction=how), 10 * count),
        "l1_loss": (lambda how: F.l1_loss(outputs, values, reduction=how), 10 * count),
        "smoothed": (lambda how: F.cross_entropy(outputs, classes, label_smoothing=0.1, reduction=how), count),
        "weighted": (
            lambda how: F.cross_entropy(outputs, classes, weight=values[0], reduction=how),
            float(values[0][classes].sum()),
        ),
        "binary": (
            lambda how: F.binary_cross_entropy_with_logits(outputs, values, reduction=how),
            10 * count,
        ),
    }[name]
    (of_mean,) = torch.autograd.grad(loss("mean"), outputs)
    total = loss("sum")
    (of_sum,) = torch.autograd.grad(total, outputs, torch.full_like(total, 1 / weight))
    return of_mean, of_sum


@pytest.mark.parametrize("name", ["cross_entropy", "mse_loss", "l1_loss"])
def test_these_means_have_the_gradient_of_their_sum_to_the_bit_in_any_batch(name):
    assert all(torch.equal(*gradients(name, count)) for count in range(1, 100))


@pytest.mark.parametrize("name", ["smoothed", "weighted", "binary"])
def test_these_means_are_rounded_at_another_place_than_their_sum_and_differ_by_no_more(name):
    # Torch multiplies by the share before it has added everything: up to 2e-7 of the largest gradient, often nothing.
    for count in range(1, 100):
        of_mean, of_sum = gradients(name, count)
        assert (of_mean - of_sum).abs().max() <= 5e-7 * of_mean.abs().max()
