import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from holdfast.clock import Clock
from holdfast.data.batches import StepBatch
from holdfast.engine.precision import Precision
from holdfast.engine.schedule import constant, linear
from holdfast.engine.system import Loss
from holdfast.engine.update import Learner, update
from holdfast.errors import NonFiniteLoss
from holdfast.randomness import Keys


def squared(model, batch):
    inputs, targets = batch
    total = F.mse_loss(model(inputs), targets, reduction="sum")
    return Loss(total, float(len(inputs)), {"squared": total.detach() / len(inputs)})


def learner(*, loss=squared, schedule=None, clip=None, dropout=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(dropout), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Learner(
        model, loss, optimizer, schedule or constant(), Keys(1, "t", "noise"), Precision(torch.device("cpu")), clip
    )


def rows(count):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 3, generator=generator), torch.randn(count, 1, generator=generator)


def parts(batch, size):
    return list(zip(batch[0].split(size), batch[1].split(size), strict=True))


def weights(one):
    return torch.cat([p.detach().flatten() for p in one.model.parameters()])


def test_a_step_is_the_step_of_a_plain_loop_bit_for_bit():
    ours, batch = learner(), rows(6)
    model = copy.deepcopy(ours.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        update(ours, Clock(step=step), StepBatch([batch], 6))
        optimizer.zero_grad()
        (F.mse_loss(model(batch[0]), batch[1], reduction="sum") / 6).backward()
        optimizer.step()
    assert torch.equal(weights(ours), torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_accumulation_gives_the_step_of_one_large_batch():
    whole, divided, batch = learner(), learner(), rows(7)
    first = update(whole, Clock(), StepBatch([batch], 7))
    second = update(divided, Clock(), StepBatch(parts(batch, 3), 7))
    assert torch.allclose(weights(whole), weights(divided), atol=1e-7)
    assert first.loss == pytest.approx(second.loss)
    assert first.parts == pytest.approx(second.parts)


def test_a_weight_that_is_not_the_sample_count_is_divided_by_as_well():
    def by_two(model, batch):
        total, weight, *_ = squared(model, batch)
        return Loss(total, 2 * weight)

    whole, divided, batch = learner(loss=by_two), learner(loss=by_two), rows(6)
    update(whole, Clock(), StepBatch([batch], 6))
    update(divided, Clock(), StepBatch(parts(batch, 2), 6))
    assert torch.allclose(weights(whole), weights(divided), atol=1e-7)


def test_the_rate_is_a_function_of_the_step():
    one = learner(schedule=linear(10))
    assert update(one, Clock(step=5), StepBatch([rows(2)], 2)).rate == pytest.approx(0.05)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_dropout_depends_on_the_step_and_on_nothing_drawn_before():
    first, second = learner(dropout=0.5), learner(dropout=0.5)
    update(first, Clock(step=3), StepBatch([rows(4)], 4))
    torch.rand(17)
    update(second, Clock(step=3), StepBatch([rows(4)], 4))
    other = learner(dropout=0.5)
    update(other, Clock(step=4), StepBatch([rows(4)], 4))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_clipping_limits_the_norm_and_reports_it():
    one, before = learner(clip=1e-3), weights(learner())
    report = update(one, Clock(), StepBatch([rows(4)], 4))
    assert report.gradient_norm is not None and report.gradient_norm > 1e-3
    assert float((weights(one) - before).norm()) == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_before_the_parameters_are_touched():
    def broken(model, batch):
        total = squared(model, batch).total * float("nan")
        return Loss(total, 1.0, {"squared": 3.5})

    one = learner(loss=broken)
    before = weights(one)
    with pytest.raises(NonFiniteLoss, match=r"the loss of step 8 must be finite, but got nan, squared 3\.5"):
        update(one, Clock(step=7), StepBatch([rows(2)], 2))
    assert torch.equal(weights(one), before)


def test_the_report_counts_the_step_and_its_samples():
    report = update(learner(), Clock(step=4, samples=40), StepBatch([rows(3)], 3))
    assert report.clock == Clock(step=5, samples=43)
