"""Schedules, scalers and modules with a mind of their own in somebody's script: saved whole, given back whole."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, MultiStepLR, SequentialLR

import holdfast
from holdfast.errors import CheckpointError, CheckpointMismatch

SCHEDULES = {
    "steps": lambda optimizer: MultiStepLR(optimizer, [2, 4, 4, 7]),
    "one after another": lambda optimizer: SequentialLR(
        optimizer, [ConstantLR(optimizer, 0.5, 2), MultiStepLR(optimizer, [2, 4])], [3]
    ),
    "at once": lambda optimizer: ChainedScheduler([ConstantLR(optimizer, 0.5, 2), MultiStepLR(optimizer, [2, 4])]),
}


def network():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)


def rates(optimizer, scheduler, epochs):
    found = []
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_goes_on_as_if_nothing_had_happened(kind, tmp_path):
    model = network()
    optimizer = descent(model)
    scheduler = SCHEDULES[kind](optimizer)
    rates(optimizer, scheduler, 3)
    path = holdfast.save_checkpoint(model, optimizer, 3, 3, None, tmp_path, scheduler=scheduler)
    later = network()
    later_optimizer = descent(later)
    later_scheduler = SCHEDULES[kind](later_optimizer)
    holdfast.load_checkpoint(path, later, later_optimizer, later_scheduler)
    assert rates(later_optimizer, later_scheduler, 6) == rates(optimizer, scheduler, 6)


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # which is what is asked for here
@pytest.mark.parametrize("epoch", [2, 4, 5, 7])
def test_a_schedule_that_is_told_the_epoch_after_a_load_knows_its_milestones(epoch, tmp_path):
    model = network()
    optimizer = descent(model)
    scheduler = SCHEDULES["steps"](optimizer)
    rates(optimizer, scheduler, 3)
    path = holdfast.save_checkpoint(model, optimizer, 3, 3, None, tmp_path, scheduler=scheduler)
    holdfast.load_checkpoint(path, model, optimizer, scheduler)
    assert scheduler.milestones == Counter([2, 4, 4, 7])
    other_optimizer = descent(network())
    other = SCHEDULES["steps"](other_optimizer)
    for its_optimizer, one in ((optimizer, scheduler), (other_optimizer, other)):
        its_optimizer.step()
        one.step(epoch)
    assert scheduler.get_last_lr() == other.get_last_lr()


@pytest.mark.parametrize("saved_enabled", [True, False])
def test_a_scaler_that_is_switched_otherwise_is_refused_before_anything_is_touched(saved_enabled, tmp_path):
    model = network()
    optimizer = descent(model)
    scaler = torch.amp.GradScaler("cpu", enabled=saved_enabled)
    path = holdfast.save_checkpoint(model, optimizer, 1, 1, None, tmp_path, scaler=scaler)
    other = nn.Linear(3, 2)
    before = copy.deepcopy(other.state_dict())
    switched = torch.amp.GradScaler("cpu", enabled=not saved_enabled)
    with pytest.raises(CheckpointMismatch, match="`scaler_state_dict` must come from"):
        holdfast.load_checkpoint(path, other, descent(other), None, switched)
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())
    holdfast.load_checkpoint(path, other, descent(other), None, None)


def test_a_scaler_that_is_disabled_like_the_saved_one_is_loaded(tmp_path):
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    path = holdfast.save_checkpoint(network(), None, 1, 1, None, tmp_path, scaler=disabled)
    holdfast.load_checkpoint(path, network(), None, None, disabled)


def lazy_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.Linear(4, 1))


def test_a_lazy_model_that_has_seen_no_input_is_not_saved(tmp_path):
    message = r"`model_state_dict\.0\.weight` must have a shape, but belongs to a lazy module .*; run one batch through"
    with pytest.raises(CheckpointError, match=message):
        holdfast.save_checkpoint(lazy_network(), None, 1, 1, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lazy_model_that_has_seen_no_input_gets_its_shapes_from_the_checkpoint(tmp_path):
    model = lazy_network()
    model(torch.randn(6, 5))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(6, 5)).sum().backward()
    optimizer.step()
    path = holdfast.save_checkpoint(model, optimizer, 1, 1, None, tmp_path)
    later = lazy_network()
    later_optimizer = torch.optim.Adam(later.parameters())
    holdfast.load_checkpoint(path, later, later_optimizer)
    batch = torch.randn(6, 5)
    for one, its in ((model, optimizer), (later, later_optimizer)):
        its.zero_grad()
        one(batch).sum().backward()
        its.step()
    assert all(torch.equal(value, later.state_dict()[name]) for name, value in model.state_dict().items())


class Remembering(nn.Module):
    """Keeps something beside its weights."""

    def __init__(self, memory):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.memory = memory

    def get_extra_state(self):
        return self.memory

    def set_extra_state(self, state):
        self.memory = state


MEMORIES = {
    "a tensor": (torch.arange(3.0), torch.zeros(3)),
    "a tensor that has grown": (torch.arange(3.0), torch.zeros(0)),
    "a tensor of another type": (torch.arange(3), torch.zeros(3)),
    "a tensor where there was none": (torch.arange(3.0), None),
    "nothing where there was a tensor": (None, torch.zeros(3)),
    "nothing": (None, None),
    "a dictionary": ({"seen": 3, "scales": [torch.arange(2.0)]}, {"seen": 0, "scales": []}),
    "a counter": (Counter(cat=2), Counter()),
}


@pytest.mark.parametrize("saved, live", MEMORIES.values(), ids=MEMORIES.keys())
def test_what_a_module_keeps_beside_its_weights_comes_back(saved, live, tmp_path):
    path = holdfast.save_checkpoint(nn.Sequential(Remembering(saved)), None, 1, 1, None, tmp_path)
    module = Remembering(copy.deepcopy(live))
    holdfast.load_checkpoint(path, nn.Sequential(module))
    assert type(module.memory) is type(saved)
    assert repr(module.memory) == repr(saved)


def test_what_a_module_keeps_beside_its_weights_is_not_written_into_what_it_held_before(tmp_path):
    for number, pack in enumerate((lambda tensor: tensor, lambda tensor: {"scales": tensor})):
        path = holdfast.save_checkpoint(Remembering(pack(torch.ones(3))), None, 1, 1, None, tmp_path, f"{number}.pth")
        shared = torch.zeros(3)
        holdfast.load_checkpoint(path, Remembering(pack(shared)))
        assert shared.tolist() == [0, 0, 0]


def test_what_is_not_plain_beside_the_weights_is_refused_by_its_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"`model_state_dict\.0\._extra_state\.a` must be a plain value"):
        holdfast.save_checkpoint(nn.Sequential(Remembering({"a": object()})), None, 1, 1, None, tmp_path)
