"""A loop of one's own that is killed and started again by the same command ends as the uninterrupted one."""

import signal
from pathlib import Path

import pytest

from holdfast.checkpoint import archive
from holdfast.data import batches
from holdfast.engine import own_course, own_reading
from tests.own_loop.programs import ended, program, signal_after_save, signal_in_record, signal_in_step
from tests.processes import curves, result


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        assert ended(program()) == 0
        return result(Path("mine"))


@pytest.mark.parametrize(
    "kill", [signal_in_step(1), signal_after_save(5), signal_in_step(8), signal_after_save(8), signal_in_step(15)]
)
def test_a_loop_killed_after_any_step_ends_with_the_same_bits(here, uninterrupted, kill):
    assert ended(program(), prepare=kill) == -signal.SIGKILL
    assert ended(program()) == 0
    assert result(here / "mine") == uninterrupted


def test_a_chain_of_kills_ends_with_the_same_bits(here, uninterrupted):
    for kill in (signal_in_step(3), signal_after_save(4), signal_in_record(0), signal_in_record(1), signal_in_step(14)):
        assert ended(program(), prepare=kill) == -signal.SIGKILL
    assert ended(program()) == 0
    assert result(here / "mine") == uninterrupted


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_at_the_step_with_a_checkpoint_and_its_code(here, uninterrupted, number, code):
    assert ended(program(), prepare=signal_in_step(7, number)) == code
    latest = archive.read_counters(here / "mine" / "checkpoints" / "checkpoint_latest.pth")
    assert (latest["epoch"], latest["step"], latest["samples"]) == (1, 7, 28)
    assert ended(program()) == 0
    assert result(here / "mine") == uninterrupted


def test_loader_workers_change_nothing(here, uninterrupted):
    assert ended(program(workers=2), prepare=signal_in_step(8)) == -signal.SIGKILL
    assert ended(program(workers=1)) == 0
    assert result(here / "mine") == uninterrupted


def test_several_batches_to_a_step_are_exact_too(here):
    accumulating = program(microbatches=2, samples=24)
    assert ended(accumulating) == 0
    (here / "mine").rename(here / "whole")
    assert ended(accumulating, prepare=signal_after_save(4)) == -signal.SIGKILL
    assert ended(accumulating) == 0
    assert result(here / "mine") == result(here / "whole")


def test_the_curves_of_tensorboard_are_one_history(here):
    with_curves = program(tensorboard=True)
    assert ended(with_curves) == 0
    (here / "mine").rename(here / "whole")
    for kill in (signal_in_step(9), signal_in_record(2)):
        assert ended(with_curves, prepare=kill) == -signal.SIGKILL
    assert ended(with_curves) == 0
    whole = curves(here / "whole" / "logs")
    assert curves(here / "mine" / "logs") == whole
    assert {"Train/Loss", "Train/size", "Val/error", "LR", "Step/Loss", "Step/size"} <= set(whole)
    assert [x for x, _ in whole["Val/error"]] == [1, 2, 3]


def test_an_extended_run_ends_as_one_that_was_that_long_from_the_start(here, uninterrupted):
    assert ended(program(epochs=2)) == 0
    assert ended(program(epochs=3)) == 0
    assert result(here / "mine")["model_state_dict"] == uninterrupted["model_state_dict"]
    assert result(here / "mine")["metrics.jsonl"] == uninterrupted["metrics.jsonl"]


def test_a_loader_of_ones_own_repeats_the_interrupted_epoch(here):
    with_loader = program(own_loader=True, save_interval=1)
    assert ended(with_loader) == 0
    (here / "mine").rename(here / "whole")
    assert ended(with_loader, prepare=signal_in_step(8)) == -signal.SIGKILL
    assert archive.read_counters(here / "mine" / "checkpoints" / "checkpoint_latest.pth")["step"] == 5
    assert ended(with_loader, prepare=signal_in_step(12, signal.SIGTERM)) == 143
    assert ended(with_loader) == 0
    assert result(here / "mine") == result(here / "whole")
    assert "loader of its own" in (here / "output.log").read_text()


def draw_from_the_past():
    own_reading.seed_all = batches.seed_all = lambda key: None


def forget_the_second_restoring():
    own_course.Course._put_back = lambda self: setattr(self, "_found", None)


@pytest.mark.parametrize("flaw", [draw_from_the_past, forget_the_second_restoring])
def test_the_comparison_sees_a_resume_that_is_not_exact(here, flaw):
    assert ended(program(), prepare=flaw) == 0
    (here / "mine").rename(here / "whole")
    kill = signal_after_save(8)
    assert ended(program(), prepare=lambda: (flaw(), kill())) == -signal.SIGKILL
    assert ended(program(), prepare=flaw) == 0
    whole, killed = result(here / "whole"), result(here / "mine")
    assert [name for name in ("model_state_dict", "head_state_dict") if whole[name] != killed[name]]
