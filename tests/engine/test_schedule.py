import pytest
import torch

from holdfast.engine import schedule


def rates(one, count):
    return [round(one(step), 6) for step in range(count)]


def test_cosine_is_that_of_pytorch_at_every_step():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.1)
    ours = schedule.cosine(10, final=0.1)
    for step in range(10):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_schedule_by_epoch_keeps_its_rate_within_an_epoch():
    assert rates(schedule.cosine(6, every=3), 6) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]


def test_linear_falls_to_its_final_share_and_stays():
    assert rates(schedule.linear(4, final=0.5), 6) == [1.0, 0.875, 0.75, 0.625, 0.5, 0.5]


def test_the_staircase_falls_at_each_of_its_steps():
    assert rates(schedule.steps([4, 2], gamma=0.1), 5) == [1.0, 1.0, 0.1, 0.1, 0.01]


def test_one_cycle_rises_to_its_peak_and_falls_to_its_end():
    one = schedule.one_cycle(10, peak_at=0.3, start=0.04, final=1e-4)
    assert one(0) == pytest.approx(0.04)
    assert one(3) == pytest.approx(1.0)
    assert one(10) == pytest.approx(1e-4)
    assert all(one(step) < one(step + 1) for step in range(3))
    assert all(one(step) > one(step + 1) for step in range(3, 10))


def test_warm_up_rises_in_equal_parts_and_then_leaves_the_schedule_alone():
    assert rates(schedule.warmed_up(schedule.constant(), 4), 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
