"""Two states, two histories and two traces are compared to the last bit, and the place of a difference is named."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from holdfast.checkpoint.compare import digest, state_differences
from holdfast.engine.trace import Trace, read_trace, traced
from holdfast.run.curves import Curves
from holdfast.run.histories import history_differences
from tests.processes import forked


def places(ours, theirs):
    return [(difference.place, difference.what) for difference in state_differences(ours, theirs)]


def test_equal_states_have_no_difference_not_even_where_they_hold_no_number():
    state = {"a": [torch.tensor([1.0, float("nan")]), None, "text"], "b": torch.zeros(0)}
    assert places(state, {"a": [torch.tensor([1.0, float("nan")]), None, "text"], "b": torch.zeros(0)}) == []


def test_each_difference_is_named_by_its_place():
    ours = {"model": {"weight": torch.tensor([1.0, 2.0, 3.0])}, "epoch": 1, "old": 0, "rates": [0.1]}
    theirs = {"model": {"weight": torch.tensor([1.0, 2.5, 3.0])}, "epoch": 2, "rates": [0.1, 0.2], "new": 0}
    assert places(ours, theirs) == [
        ("model.weight", "1 of 3 numbers, by at most 0.5"),
        ("epoch", "1 and 2"),
        ("old", "only in the first"),
        ("rates", "1 and 2 entries"),
        ("new", "only in the second"),
    ]


@pytest.mark.parametrize(
    "ours,theirs",
    [
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.tensor(1), 1),
        (1, 1.0),
        (["ab", "c"], ["a", "bc"]),
        (np.zeros(2), np.zeros(2, np.float32)),
    ],
)
def test_what_looks_alike_has_another_hash(ours, theirs):
    assert digest(ours) != digest(theirs)


def test_objects_have_the_hash_of_what_they_hold():
    class Target:
        def __init__(self, box):
            self.box = box

    assert digest([Target(torch.ones(4))]) == digest([Target(torch.ones(4))])
    assert digest([Target(torch.ones(4))]) != digest([Target(torch.zeros(4))])
    assert digest(torch.arange(6).reshape(2, 3).T) == digest(torch.tensor([[0, 3], [1, 4], [2, 5]]))


def test_the_first_row_that_differs_is_named(tmp_path):
    rows = [{"step": step, "loss": 1.0 / step} for step in (2, 4, 6)]
    for name, last in (("ours", 0.25), ("theirs", 0.5)):
        (tmp_path / name).mkdir()
        text = "\n".join(json.dumps(row) for row in [*rows[:2], {"step": 6, "loss": last}])
        (tmp_path / name / "metrics.jsonl").write_text(text)
    (found,) = history_differences(tmp_path / "ours", tmp_path / "theirs")
    assert (found.place, found.step, found.what) == ("metrics.jsonl line 3", 6, "loss 0.25 and 0.5")


def test_the_first_point_that_differs_on_a_curve_is_named(tmp_path):
    for name, points in (("ours", [1.0, 2.0, 3.0]), ("theirs", [1.0, 2.5])):
        (tmp_path / name).mkdir()
        curves = Curves(tmp_path / name / "events.out.tfevents.0000000001.here")
        for x, value in enumerate(points):
            curves.add_scalars({"Val/F1": value, "LR": 0.1 if x < 2 else 0.2}, x)
        curves.close()
    found = [(one.place, one.what) for one in history_differences(tmp_path / "ours", tmp_path / "theirs")]
    assert found == [
        ("the curve LR at 2", "0.20000000298023224 and None"),
        ("the curve Val/F1 at 1", "2.0 and 2.5"),
    ]


def test_a_trace_has_a_line_for_the_begin_and_for_each_step(tmp_path):
    model, optimizer = torch.nn.Linear(2, 1), torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    trace = Trace(tmp_path / "trace")
    trace.begin(step=4, model=model, parts={"optimizer": optimizer})
    trace.step(step=5, indices=[3, 1], batch=(1, 2), loss=0.5, model=model, parts={"optimizer": optimizer})
    trace.step(step=6, indices=None, batch={"image": 1}, loss=torch.tensor(0.25), model=model)
    begin, first, second = read_trace(tmp_path / "trace")
    assert list(begin) == ["step", "begins", "weights", "parts"]
    assert list(first) == ["step", "order", "batch", "loss", "rate", "weights", "parts"]
    assert (first["weights"], first["parts"], list(first["batch"])) == (begin["weights"], begin["parts"], ["0", "1"])
    assert (list(second)[1:3], list(second["batch"]), second["loss"]) == (["batch", "loss"], ["image"], (0.25).hex())


def test_without_the_environment_the_step_is_the_plain_one():
    def take_step(training, batch):
        raise NotImplementedError

    assert traced(take_step, None) is take_step  # pyright: ignore[reportArgumentType]


def test_a_process_can_be_killed_after_a_step_without_a_trace(here):
    def prepare():
        os.environ["HOLDFAST_KILL_AFTER_STEP"] = "3"

    words = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "1", "--name", "killed"]
    assert forked(words, prepare=prepare) == -signal.SIGKILL
    rows = (here / "runs" / "killed" / "logs" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3]
