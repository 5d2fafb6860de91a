"""What a checkpoint gives back to parts that are not the model."""

from collections import Counter, OrderedDict, defaultdict, deque

import pytest
import torch

from holdfast.checkpoint.parts import check_scaler_fit, with_containers_of
from holdfast.errors import CheckpointMismatch

LIVE = {
    "counter": Counter({2: 1}),
    "ordered": OrderedDict(a=1),
    "default": defaultdict(list),
    "recent": deque([1, 2], maxlen=3),
    "parts": [{"milestones": Counter()}, {"rates": (0.1,)}],
    "pair": ({"milestones": Counter()}, 1),
}
SAVED = {
    "counter": {5: 2, 7: 1},
    "ordered": {"b": 1, "a": 2},
    "default": {"x": [1]},
    "recent": [1, 2, 3],
    "parts": [{"milestones": {3: 1}}, {"rates": (0.2, 0.3)}, {"milestones": {4: 1}}],
    "pair": ({"milestones": {1: 1}}, 2),
}


def test_saved_values_come_in_the_containers_of_the_live_state():
    found = with_containers_of(LIVE, SAVED)
    assert found == {**SAVED, "recent": deque([1, 2, 3])}
    assert found["counter"].total() == 3
    assert type(found["ordered"]) is OrderedDict and list(found["ordered"]) == ["b", "a"]
    assert found["default"]["new"] == []
    assert found["recent"].maxlen == 3
    assert type(found["parts"][0]["milestones"]) is Counter
    assert type(found["pair"]) is tuple and type(found["pair"][0]["milestones"]) is Counter


def test_what_the_live_state_does_not_have_stays_plain():
    assert type(with_containers_of({}, SAVED)["counter"]) is dict
    assert type(with_containers_of(LIVE, SAVED)["parts"][2]["milestones"]) is dict
    assert with_containers_of({"x": Counter()}, {"x": 1}) == {"x": 1}
    assert with_containers_of({"x": 1}, {"x": {"y": 1}}) == {"x": {"y": 1}}


def test_saved_values_are_not_changed_and_tensors_are_the_very_ones():
    saved = {"x": {"y": torch.ones(2)}}
    found = with_containers_of({"x": Counter()}, saved)
    assert type(saved["x"]) is dict
    assert found["x"]["y"] is saved["x"]["y"]


def scaler(enabled):
    return torch.amp.GradScaler("cpu", enabled=enabled)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_scaler_takes_the_state_of_one_that_is_enabled_or_disabled_like_itself(enabled):
    check_scaler_fit("scaler_state_dict", scaler(enabled), scaler(enabled).state_dict())


@pytest.mark.parametrize(
    "enabled, message",
    [
        (True, "must come from an enabled scaler, as the given one is, but got the state of a disabled one; give a "),
        (False, "must come from a disabled scaler, as the given one is, but got the state of an enabled one; give an "),
    ],
)
def test_a_scaler_takes_no_state_of_one_that_is_enabled_where_it_is_not_or_not_where_it_is(enabled, message):
    with pytest.raises(CheckpointMismatch, match=f"^`scaler_state_dict` {message}"):
        check_scaler_fit("scaler_state_dict", scaler(enabled), scaler(not enabled).state_dict())
