"""Programs with loops of their own, run to their end in forked processes, as the interpreter would run them."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import holdfast
from holdfast.engine.own_loop import OwnLoop
from holdfast.engine.session import Session
from tests.tiny import Noisy


def program(
    *,
    epochs=3,
    workers=0,
    samples=20,
    batch_size=4,
    shuffle=None,
    stream=None,
    steps_per_epoch=None,
    microbatches=1,
    own_loader=False,
    width=4,
    optimizer=torch.optim.Adam,
    more=(),
    config=None,
    **options,
):
    """Gives a program that trains with dropout, batch normalisation, augmentation and three schedules."""

    def train():
        settings = {"tensorboard": False, "log_interval": 2, "save_interval": "2 steps", "monitor": "val_error"}
        run = holdfast.open_run("mine", config=config, **{**settings, "mode": "min", **options})
        model = nn.Sequential(
            nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Tanh(), nn.Linear(width, 1)
        )
        steps = optimizer(model.parameters(), lr=0.05)
        by_step = torch.optim.lr_scheduler.StepLR(steps, 3, gamma=0.9)
        head, tail = Counter(), Counter()
        parts = {"model": model, "optimizer": steps, "by_step": by_step, "head": head, "tail": tail}
        run.track(**parts, **{name: Counter() for name in more})
        data = stream() if stream else Noisy(samples)
        for _ in run.epochs(epochs):
            head.count += 1
            model.train()
            if own_loader:
                batches = DataLoader(data, batch_size, shuffle=True, num_workers=workers)
            else:
                batches = run.batches(data, batch_size=batch_size, workers=workers, shuffle=shuffle)
            for number, (inputs, targets) in enumerate(batches, start=1):
                loss = F.mse_loss(model(inputs), targets)
                loss.backward()
                if number % microbatches == 0:
                    steps.step()
                    steps.zero_grad()
                    run.step(loss=loss, size=inputs.abs().mean())
                    by_step.step()
                    if steps_per_epoch and run.clock.step % steps_per_epoch == 0:
                        break
            model.eval()
            with torch.no_grad():
                points = torch.randn(6, 3)
                error = F.l1_loss(model(points), points.sum(dim=1, keepdim=True))
            run.record(val_error=error)
            tail.count += 1

    return train


class Counter:
    """Something of a user's own that has a state."""

    def __init__(self):
        self.count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def ended(main: Callable[[], object], *, prepare: Callable[[], None] = lambda: None) -> int:
    """Runs a program in a forked process; gives its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        atexit._clear()
        log = os.open("output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
        os._exit(_interpreted(main, prepare))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _interpreted(main: Callable[[], object], prepare: Callable[[], None]) -> int:
    code = 0
    try:
        prepare()
        main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:  # noqa: BLE001 - what the interpreter does with it
        sys.last_value = error
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    return code


def signal_in_step(step: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Sends the signal at the end of `run.step`, before anything is saved."""
    return lambda: _signal_after(OwnLoop, "step", lambda run: run.clock.step == step, number)


def signal_after_save(step: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Sends the signal when what is due after a step has been saved."""
    return lambda: _signal_after(Session, "settle", lambda session: session._progress.clock.step == step, number)


def signal_after_epoch(epoch: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Sends the signal when the end of an epoch has been saved."""
    return lambda: _signal_after(Session, "settle", lambda session: session._progress.clock.epoch == epoch, number)


def signal_in_record(epoch: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Sends the signal when an epoch has been evaluated, but is not closed."""
    return lambda: _signal_after(OwnLoop, "record", lambda run: run.clock.epoch == epoch, number)


def _signal_after(owner, name, is_due, number):
    whole = getattr(owner, name)

    def wrapped(self, *args, **values):
        whole(self, *args, **values)
        if is_due(self):
            os.kill(os.getpid(), number)

    setattr(owner, name, wrapped)
