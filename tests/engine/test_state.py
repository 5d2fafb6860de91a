"""What is captured of a training, and what stops a restore."""

import copy

import pytest
import torch

from holdfast.assembly import build_training
from holdfast.engine.state import capture, restore
from holdfast.errors import CheckpointMismatch, NonFiniteLoss
from tests.tiny import TinyConfig, system


def training():
    return build_training(system, TinyConfig(), stage="train")


def captured(one):
    return copy.deepcopy(capture(one, config={"system": "tiny"}, journal={}, with_optimizer=True))


def test_a_spoiled_weight_is_never_captured_as_good():
    one = training()
    with torch.no_grad():
        one.learner.parameters[0][0] = float("nan")
    with pytest.raises(NonFiniteLoss, match="the weights after step 0 must be finite"):
        captured(one)


@pytest.mark.parametrize(
    "change,named",
    [
        (lambda state: state["model_state_dict"].pop("0.weight"), "0.weight is missing"),
        (lambda state: state["model_state_dict"].update(extra=torch.ones(1)), "extra is not in the model"),
        (lambda state: state["model_state_dict"].update({"0.bias": torch.ones(9)}), r"0.bias is \[9\] instead of"),
        (lambda state: state["optimizer_state_dict"]["param_groups"][0].update(params=[0]), "groups of .6. parameters"),
        (lambda state: state.update(version=7), "`version` of the checkpoint must be 1, but got 7"),
        (lambda state: state["data_state"].update(length=5), "must have the 5 samples"),
        (lambda state: state.update(ema_state_dict={"updates": 1}), "`ema_state_dict` must be in both or in neither"),
        (lambda state: state.update(scaler_state_dict={"scale": 1.0}), "`scaler_state_dict` must be in both"),
    ],
)
def test_a_part_that_is_missing_unexpected_or_of_another_shape_is_named(change, named):
    state = captured(training())
    change(state)
    with pytest.raises(CheckpointMismatch, match=named):
        restore(training(), state)
