import copy

import pytest
import torch
from torch import nn

from holdfast.clock import Clock
from holdfast.data.batches import StepBatch
from holdfast.engine.averaging import Average
from holdfast.engine.precision import choose_precision
from holdfast.engine.schedule import constant
from holdfast.engine.system import Loss
from holdfast.engine.update import Learner, update
from holdfast.errors import NonFiniteLoss
from holdfast.randomness import Keys

CPU = torch.device("cpu")


def learner(amp, *, blow_up=1.0, average=None, clip=None):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    types = []

    def loss(model, batch):
        outputs = model(batch)
        types.append(outputs.dtype)
        return Loss(outputs.float().square().sum() * blow_up, float(len(batch)))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one = Learner(
        model,
        loss,
        optimizer,
        constant(),
        Keys(1, "t", "noise"),
        choose_precision(amp, CPU),
        clip=clip,
        average=Average(model, average) if average else None,
    )
    return one, types


def step(one, number=0):
    return update(one, Clock(step=number), StepBatch([torch.ones(4, 3)], 4))


@pytest.mark.parametrize(
    "amp,dtype", [(False, torch.float32), (True, torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_forward_pass_computes_in_the_configured_type(amp, dtype):
    one, types = learner(amp)
    step(one)
    assert types == [dtype]
    assert one.model.weight.dtype == torch.float32


def test_a_scaled_step_is_the_unscaled_one():
    scaled, plain = learner("fp16")[0], learner(False)[0]
    step(scaled)
    step(plain)
    assert torch.allclose(scaled.model.weight, plain.model.weight, atol=1e-3)


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_not_averaged():
    one, _ = learner("fp16", blow_up=1e33, average=0.9, clip=1.0)
    before, scale = one.model.weight.detach().clone(), one.precision.scaler.get_scale()
    step(one)
    assert torch.equal(one.model.weight, before)
    assert one.precision.scaler.get_scale() < scale
    assert one.average.updates == 0


def test_the_same_overflow_without_a_scaler_is_an_error():
    one, _ = learner(False, blow_up=1e38, clip=1.0)
    with pytest.raises(NonFiniteLoss):
        step(one)


def test_the_average_follows_its_formula_with_its_warm_up():
    one, _ = learner(False, average=0.5)
    expected = one.model.weight.detach().clone()
    for number in range(12):
        step(one, number)
        decay = min(0.5, (2 + number) / (11 + number))
        expected = decay * expected + (1 - decay) * one.model.weight.detach()
    assert torch.allclose(one.average.model.weight, expected, atol=1e-6)


def test_an_average_goes_on_from_its_state_exactly():
    one, _ = learner(False, average=0.9)
    step(one)
    other = Average(one.model, 0.9)
    other.load_state_dict(copy.deepcopy(one.average.state_dict()))
    one.average.update(one.model)
    other.update(one.model)
    assert torch.equal(one.average.model.weight, other.model.weight)
