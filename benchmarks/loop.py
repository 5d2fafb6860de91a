"""Processor time per training step beside a hand-written PyTorch loop on the same ready-made batches.

Everything of Holdfast's loop is on: clock, keyed randomness, tally, display, journal. Both sides run the same network
on the same batches in this process, in turns; a ratio compares the two of one round.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from _measure import arguments, interleaved, print_machine, print_ratios
from holdfast.checkpoint.store import Store
from holdfast.clock import Clock, Every
from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.engine.interruption import Interruption
from holdfast.engine.precision import Precision
from holdfast.engine.saving import Saver
from holdfast.engine.schedule import cosine
from holdfast.engine.system import Loss
from holdfast.engine.train import train
from holdfast.engine.training import Goal, Plan, SavePlan, Training
from holdfast.engine.update import Learner
from holdfast.randomness import Keys
from holdfast.run.display import Display
from holdfast.run.journal import Journal


class Ready(Dataset):
    """Ready-made batches: one item is one batch."""

    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.items[index]


def first(samples: list):
    return samples[0]


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


TASKS = {"perceptron 64-64-10, batch 32": (perceptron, (32, 64)), "small CNN, batch 32": (small_cnn, (32, 3, 16, 16))}


def by_hand(make_model: Callable[[], nn.Module], items: list, *, loader: bool) -> float:
    """Gives the processor seconds per step of the loop that one would write."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = DataLoader(Ready(items), batch_size=1, collate_fn=first) if loader else items
    started = time.process_time()
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return (time.process_time() - started) / len(items)


def cross_entropy(model: nn.Module, batch) -> Loss:
    inputs, targets = batch
    return Loss(F.cross_entropy(model(inputs), targets, reduction="sum"), float(len(targets)))


def holdfast_loop(make_model: Callable[[], nn.Module], items: list) -> float:
    """Gives the processor seconds per step of Holdfast's loop, with everything on but the saves."""
    torch.manual_seed(0)
    model = make_model()
    batches = Batches(
        Composer(Ready(items), first, 1, "bench"),
        Order(len(items), shuffle=Keys(1, "bench", "order")),
        batch_size=1,
    )
    plan = Plan(batches.steps_per_epoch, epochs=None, steps=len(items))
    learner = Learner(
        model,
        cross_entropy,
        torch.optim.AdamW(model.parameters(), lr=1e-3),
        cosine(len(items)),
        Keys(1, "bench", "noise"),
        Precision(torch.device("cpu")),
    )
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), tensorboard=False, log_interval=50, position=None)
        training = Training(
            seed=1,
            clock=Clock(),
            plan=plan,
            learner=learner,
            batches=batches,
            evaluation=None,
            goal=Goal("train/loss", "min"),
            save_plan=SavePlan((Every(10**9, "epochs"),), "epochs"),
        )
        console = Console(file=io.StringIO(), force_terminal=True)
        display = Display(
            total_epochs=1,
            total_steps=len(items),
            steps_per_epoch=len(items),
            best_name="train/loss",
            start=training.clock,
            console=console,
        )
        saver = Saver(Unsaved(Path(folder)), lambda training: {}, tell=lambda line: None)
        with display:
            training.observers = (journal, display)
            started = time.process_time()
            train(training, saver, Interruption())
            spent = time.process_time() - started
        journal.close()
    return spent / len(items)


class Unsaved(Store):
    """A store that keeps nothing: saving has a benchmark of its own."""

    def save(self, state, *, number=None, is_best=False) -> Path:
        return self.folder

    def space(self, path: Path) -> str:
        return ""


def main() -> None:
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    print_machine()
    steps, rounds = (100, 2) if options.quick else (2000, options.rounds or 15)
    summary = []
    for name, (make_model, shape) in TASKS.items():
        count = steps if "perceptron" in name else steps // 4
        items = [(torch.randn(shape), torch.randint(0, 10, shape[:1])) for _ in range(count)]
        contestants = {
            "by hand, torch's DataLoader": lambda m=make_model, i=items: by_hand(m, i, loader=True),
            "by hand, a list of batches": lambda m=make_model, i=items: by_hand(m, i, loader=False),
            "holdfast, everything on": lambda m=make_model, i=items: holdfast_loop(m, i),
        }
        results = interleaved(contestants, rounds)
        print(f"{name}: processor time per step, ratio to the first line")
        print_ratios(results, "by hand, torch's DataLoader", unit="us", scale=1e6)
        ratio = sorted(
            ours / theirs
            for ours, theirs in zip(
                results["holdfast, everything on"], results["by hand, torch's DataLoader"], strict=True
            )
        )[rounds // 2]
        summary.append(f"{name} {ratio:.2f}")
    print("holdfast / by hand with torch's DataLoader: " + "; ".join(summary))


if __name__ == "__main__":
    main()
