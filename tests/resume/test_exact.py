"""A run that is killed and resumed ends as the uninterrupted one: weights, moments, generators, best, history."""

import os
import signal

import pytest

from holdfast.data import batches
from holdfast.engine import state, update
from holdfast.engine import train as loop
from holdfast.run.folder import RunFolder
from tests.processes import curves, forked, result, signal_after_step

TRAIN = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "2", "--save-interval", "2 steps"]


def train(name, *options, **kwargs):
    return forked([*TRAIN, "--name", name, *options], **kwargs)


@pytest.fixture
def uninterrupted(here):
    assert train("whole") == 0
    return result(here / "runs" / "whole")


@pytest.mark.parametrize("step", [1, 4, 5, 8, 10, 15])
def test_a_run_killed_after_any_step_ends_with_the_same_bits(here, uninterrupted, step):
    assert train("killed", prepare=signal_after_step(step)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == uninterrupted


def test_a_chain_of_kills_ends_with_the_same_bits(here, uninterrupted):
    assert train("killed", prepare=signal_after_step(3)) == -signal.SIGKILL
    for step in (5, 6, 9, 13):
        assert forked(["resume", "killed"], prepare=signal_after_step(step)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == uninterrupted


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_at_the_step_with_a_checkpoint_and_its_code(here, uninterrupted, number, code):
    assert train("stopped", prepare=signal_after_step(7, number)) == code
    assert forked(["resume", "stopped"]) == 0
    assert result(here / "runs" / "stopped") == uninterrupted


def test_loader_workers_change_nothing(here, uninterrupted):
    assert train("workers", "--workers", "2", prepare=signal_after_step(6)) == -signal.SIGKILL
    assert forked(["resume", "workers", "--workers", "1"]) == 0
    assert result(here / "runs" / "workers") == uninterrupted


def test_another_seed_is_another_run(here, uninterrupted):
    assert train("other", "--seed", "1") == 0
    other = result(here / "runs" / "other")
    assert other["model_state_dict"] != uninterrupted["model_state_dict"]
    assert other["metrics.jsonl"] != uninterrupted["metrics.jsonl"]


def test_a_run_that_was_moved_goes_on(here, uninterrupted):
    assert train("killed", prepare=signal_after_step(8)) == -signal.SIGKILL
    (here / "elsewhere").mkdir()
    (here / "runs" / "killed").rename(here / "elsewhere" / "moved")
    assert forked(["resume", "elsewhere/moved"]) == 0
    assert result(here / "elsewhere" / "moved") == uninterrupted


def test_the_curves_of_tensorboard_are_one_history(here):
    words = ["train", "tests.tiny:system", "--log-interval", "2"]
    assert forked([*words, "--name", "whole"]) == 0
    assert forked([*words, "--name", "killed"], prepare=signal_after_step(9)) == -signal.SIGKILL
    assert forked(["resume", "killed"], prepare=signal_after_step(12)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    whole = curves(here / "runs" / "whole" / "logs")
    assert curves(here / "runs" / "killed" / "logs") == whole
    assert {"Train/Loss", "Val/Loss", "Val/Error", "LR", "Step/Loss", "Step/size"} <= set(whole)
    assert [x for x, _ in whole["Val/Error"]] == [1, 2, 3]


def test_an_extended_run_ends_as_one_that_was_that_long_from_the_start(here):
    assert train("long", "--epochs", "5") == 0
    assert train("extended", "--epochs", "2") == 0
    assert forked(["resume", "extended", "--epochs", "5"]) == 0
    assert result(here / "runs" / "extended") == result(here / "runs" / "long")


def forget_the_moments():
    state._restore_optimizer = lambda *args: None


def draw_from_the_past():
    update.seed_all = batches.seed_all = lambda key: None
    state.randomness.restore = lambda saved: None


@pytest.mark.parametrize("flaw", [forget_the_moments, draw_from_the_past])
def test_the_comparison_sees_a_resume_that_is_not_exact(here, flaw):
    assert train("whole", prepare=flaw) == 0
    kill = signal_after_step(8)
    assert train("killed", prepare=lambda: (flaw(), kill())) == -signal.SIGKILL
    assert forked(["resume", "killed"], prepare=flaw) == 0
    whole, killed = result(here / "runs" / "whole"), result(here / "runs" / "killed")
    assert whole["model_state_dict"] != killed["model_state_dict"]


EVERYTHING = ["--amp", "bf16", "--ema", "0.9", "--clip", "0.5", "--accumulation", "2", "--schedule", "one_cycle"]


def test_precision_average_accumulation_clipping_and_schedule_are_exact_too(here):
    assert train("whole", *EVERYTHING, "--warmup", "1") == 0
    assert train("killed", *EVERYTHING, "--warmup", "1", prepare=signal_after_step(8)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")


def test_a_scaler_is_state_too(here):
    options = ["--amp", "fp16", "--optimizer", "sgd"]
    assert train("whole", *options) == 0
    assert train("killed", *options, prepare=signal_after_step(8)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")


def test_a_run_without_new_best_stops_early_and_stays_stopped(here):
    options = ["--early-stop", "2", "--epochs", "40", "--lr", "1e-9"]
    assert train("whole", *options) == 0
    assert train("killed", *options, prepare=signal_after_step(8)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")
    assert RunFolder(here / "runs" / "whole").read_status().epoch < 40


def test_subset_and_overfit_are_fixed_parts_of_the_data(here):
    assert train("subset", "--subset-size", "8", prepare=signal_after_step(3)) == -signal.SIGKILL
    assert forked(["resume", "subset"]) == 0
    assert train("whole", "--subset-size", "8") == 0
    assert result(here / "runs" / "subset") == result(here / "runs" / "whole")
    assert train("overfit", "--overfit", "--subset-size", "8", "--epochs", "2") == 0
    assert RunFolder(here / "runs" / "overfit").read_status().step == 4


def test_a_kill_between_the_last_step_and_its_evaluation_changes_nothing_with_a_schedule_either(here):
    options = ["--schedule", "cosine", "--save-interval", "1 steps"]

    def die_before_the_end():
        loop.close_epoch = lambda training, interruption: os.kill(os.getpid(), signal.SIGKILL)

    assert train("whole", *options, "--epochs", "1") == 0
    assert train("killed", *options, "--epochs", "1", prepare=die_before_the_end) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")
