"""Whatever a loop tracks comes back as it was: schedulers with their rates, a scaler, things of a user's own."""

import signal

import pytest
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler as torch_schedules

import holdfast
from holdfast.engine import tracked
from tests.own_loop.programs import ended, signal_after_epoch, signal_after_save
from tests.processes import result
from tests.tiny import Noisy

EACH_STEP = {"save_interval": "1 step", "tensorboard": False}
SCHEDULES = {
    "multi step": lambda optimizer: torch_schedules.MultiStepLR(optimizer, [2, 4, 4, 7], gamma=0.5),
    "one cycle": lambda optimizer: torch_schedules.OneCycleLR(optimizer, max_lr=0.1, total_steps=10),
    "plateau": lambda optimizer: torch_schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=0),
    "multi step after warm-up": lambda optimizer: torch_schedules.SequentialLR(
        optimizer,
        [
            torch_schedules.LinearLR(optimizer, 0.1, total_iters=4),
            torch_schedules.MultiStepLR(optimizer, [1, 3], gamma=0.5),
        ],
        milestones=[6],
    ),
    "warm restarts": lambda optimizer: torch_schedules.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2),
    "lambda": lambda optimizer: torch_schedules.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "cosine": lambda optimizer: torch_schedules.CosineAnnealingLR(optimizer, T_max=7),
    "cyclic": lambda optimizer: torch_schedules.CyclicLR(optimizer, 0.01, 0.1, step_size_up=3),
    "chained": lambda optimizer: torch_schedules.ChainedScheduler(
        [torch_schedules.ConstantLR(optimizer, 0.3, 4), torch_schedules.ExponentialLR(optimizer, 0.9)]
    ),
}


def following(name):
    """A program whose rate follows a schedule for ten steps, and which notes each rate that it uses."""

    def train():
        with holdfast.open_run("mine", **EACH_STEP, log_interval=1, monitor="train_loss") as run:
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
            schedule = SCHEDULES[name](optimizer)
            run.track(model=model, optimizer=optimizer, schedule=schedule)
            for _ in run.epochs(2):
                for inputs, targets in run.batches(Noisy(20), batch_size=4):
                    loss = F.mse_loss(model(inputs), targets)
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    settings = optimizer.param_groups[0]
                    run.step(loss=loss, used=settings["lr"], momentum=settings["momentum"])
                    schedule.step(*([loss.item()] if name == "plateau" else []))

    return train


def long_but_for(*ordinary):
    return [pytest.param(name, marks=[] if name in ordinary else [pytest.mark.long]) for name in SCHEDULES]


@pytest.mark.parametrize("name", long_but_for("multi step after warm-up", "one cycle"))
def test_a_schedule_goes_on_with_the_same_rates(here, name):
    assert ended(following(name)) == 0
    (here / "mine").rename(here / "whole")
    for step in (3, 5, 8):
        assert ended(following(name), prepare=signal_after_save(step)) == -signal.SIGKILL
    assert ended(following(name)) == 0
    assert result(here / "mine") == result(here / "whole")


def test_the_comparison_sees_a_schedule_that_comes_back_in_plain_containers(here):
    def forget_the_containers():
        tracked.with_containers_of = lambda live, saved: saved

    name = "multi step after warm-up"
    assert ended(following(name), prepare=signal_after_save(3)) == -signal.SIGKILL
    assert ended(following(name), prepare=forget_the_containers) == 1
    assert "AttributeError" in (here / "output.log").read_text()


class Total:
    """Keeps the tensor that it is given, and adds to it in place."""

    def __init__(self):
        self.total = torch.zeros(2)

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def test_a_part_that_changes_what_it_is_given_comes_back_as_it_was(here):
    def adding():
        with holdfast.open_run("mine", **EACH_STEP) as run:
            total = Total()
            run.track(total=total)
            for _ in run.epochs(2):
                total.total += 100
                for _ in run.batches(Noisy(8), batch_size=4):
                    total.total += 1
                    run.step(loss=1.0)
        assert total.total.tolist() == [204, 204]

    assert ended(adding, prepare=signal_after_save(1)) == -signal.SIGKILL
    assert ended(adding, prepare=signal_after_save(3)) == -signal.SIGKILL
    assert ended(adding) == 0


@pytest.mark.parametrize("before,after,saved", [(True, False, "an enabled"), (False, True, "a disabled")])
def test_a_scaler_that_is_enabled_goes_on_only_as_one_that_is(here, before, after, saved):
    def scaling(enabled):
        with holdfast.open_run("mine", tensorboard=False) as run:
            run.track(scaler=torch.amp.GradScaler("cpu", enabled=enabled))
            for _ in run.epochs(2):
                for _ in run.batches(Noisy(4), batch_size=4):
                    run.step(loss=1.0)

    assert ended(lambda: scaling(before), prepare=signal_after_epoch(1)) == -signal.SIGKILL
    assert ended(lambda: scaling(after)) == 1
    assert f"got the state of {saved} one" in (here / "output.log").read_text()
    assert ended(lambda: scaling(before)) == 0
