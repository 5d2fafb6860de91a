"""What parts know beside their numbers comes back: versions, containers, a scaler's switch, what a module remembers."""

import copy
import os
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

import holdfast
from holdfast.checkpoint import archive
from holdfast.engine.averaging import Average
from holdfast.engine.tracked import Tracked
from holdfast.errors import CheckpointMismatch, ConfigError
from tests import tiny


class Versioned(nn.Module):
    """Migrates weights of a release before its own."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        if (local_metadata.get("version") or 1) < 2:
            state_dict[f"{prefix}weight"] = 10 * state_dict[f"{prefix}weight"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class Remembering(nn.Module):
    """Keeps what it has seen beside its weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.seen = {"count": 0, "means": torch.zeros(0)}

    def get_extra_state(self):
        return self.seen

    def set_extra_state(self, state):
        self.seen = state


def saved_and_read(state, folder):
    descriptor = os.open(folder / "state.pth", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    archive.write(descriptor, state)
    os.close(descriptor)
    return archive.read(folder / "state.pth")


def state_of(tracked):
    metadata = {"tracked": tracked.kinds(), "versions": tracked.versions()}
    return {**tracked.state_dicts(), "metadata": metadata}


def tracking(**parts):
    tracked = Tracked()
    for name, part in parts.items():
        tracked.add(name, part)
    return tracked


def test_a_tracked_network_knows_its_own_weights_from_those_of_an_old_release(tmp_path):
    tracked = tracking(model=Versioned())
    tracked.restore_all(saved_and_read(state_of(tracked), tmp_path))
    assert tracked.parts["model"].weight.tolist() == [1, 1]


def test_an_average_knows_its_own_weights_from_those_of_an_old_release(tmp_path):
    average = Average(Versioned(), 0.9)
    average.load_state_dict(saved_and_read(average.state_dict(), tmp_path))
    assert average.model.weight.tolist() == [1, 1]


def test_what_a_tracked_network_remembers_is_not_changed_between_two_restores(tmp_path):
    network = Remembering()
    network.seen = {"count": 1, "means": torch.ones(2)}
    state = saved_and_read(state_of(tracking(model=network)), tmp_path)
    later = Remembering()
    tracked = tracking(model=later)
    tracked.restore("model", state)
    later.seen["count"] += 1
    later.seen["means"] += 1
    tracked.restore_all(state)
    assert (later.seen["count"], later.seen["means"].tolist()) == (1, [1, 1])


def schedule():
    return MultiStepLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0), [2, 4, 4])


def test_a_tracked_schedule_gets_its_milestones_as_it_had_them(tmp_path):
    state = saved_and_read(state_of(tracking(schedule=schedule())), tmp_path)
    later = schedule()
    tracking(schedule=later).restore_all(state)
    assert type(later.milestones) is Counter
    assert later.milestones == Counter([2, 4, 4])


class Book:
    """Writes into the very list that it was given."""

    def __init__(self):
        self.lines = []

    def state_dict(self):
        return {"lines": self.lines}

    def load_state_dict(self, state):
        self.lines = state["lines"]


def test_what_a_part_writes_between_two_restores_is_not_restored(tmp_path):
    book = Book()
    book.lines.append("one")
    state = saved_and_read(state_of(tracking(book=book)), tmp_path)
    later = Book()
    tracked = tracking(book=later)
    tracked.restore("book", state)
    later.lines.append("between")
    tracked.restore_all(state)
    assert later.lines == ["one"]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_tracked_scaler_that_is_switched_otherwise_is_refused(enabled, tmp_path):
    state = saved_and_read(state_of(tracking(scaler=torch.amp.GradScaler("cpu", enabled=enabled))), tmp_path)
    with pytest.raises(CheckpointMismatch, match="`scaler_state_dict` must come from"):
        tracking(scaler=torch.amp.GradScaler("cpu", enabled=not enabled)).restore_all(state)


def test_an_average_takes_over_what_modules_keep_beside_their_weights():
    model = nn.Sequential(Remembering())
    average = Average(model, 0.9)
    model[0].seen = {"count": 3, "means": torch.ones(2)}
    average.update(model)
    assert average.model[0].seen["count"] == 3
    model[0].seen["means"] += 1
    assert average.model[0].seen["means"].tolist() == [1, 1]


def lazy_model(config):
    return nn.Sequential(nn.LazyLinear(config.model.width), nn.Tanh(), nn.Linear(config.model.width, 1))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_lazy_model_is_refused_before_anything_is_made(here, ema):
    config = tiny.TinyConfig()
    config = config.model_copy(update={"training": config.training.model_copy(update={"ema": ema})})
    with pytest.raises(ConfigError, match=r"must know its shapes, but `0\.weight` is lazy and has none; run one batch"):
        holdfast.train(replace(tiny.system, model=lazy_model), config)
    assert list(here.iterdir()) == []


def built_model(config):
    model = lazy_model(config)
    model(torch.zeros(2, 3))
    return model


def test_a_lazy_model_that_has_seen_a_batch_trains_as_any_other(here):
    config = copy.deepcopy(tiny.TinyConfig())
    holdfast.train(replace(tiny.system, model=built_model), config)
    assert len(list(here.rglob("checkpoint_epoch3.pth"))) == 1
