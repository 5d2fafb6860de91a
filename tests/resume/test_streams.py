"""A system whose training data can only be iterated is as exact as any other when the data can say where it is."""

import os
import signal
from dataclasses import replace

import pytest

from holdfast.engine.system import Data
from tests import tiny
from tests.own_loop.streams import (
    Beginning,
    Buffering,
    Endless,
    Forgetting,
    Resetting,
    Shuffling,
    Stateless,
    Staying,
    Sticking,
)
from tests.processes import forked, result
from tests.resume.blows import At, saved_moment, stop

EXACT = [Resetting, Sticking, Beginning, Shuffling, Buffering, Staying, Endless]
KINDS = {kind.__name__: kind for kind in (*EXACT, Forgetting, Stateless)}
# A pass has 10 samples: it ends within a step, within an epoch, and in its second epoch with a step.
TRAIN = [
    "train",
    "tests.resume.test_streams:system",
    "--epoch-length",
    "15",
    "--batch-size",
    "6",
    "--accumulation",
    "2",
]
TRAIN += ["--epochs", "2", "--save-interval", "1 step", "--log-interval", "1", "--no-tensorboard"]
MOMENTS = range(1, 9)
"""Two epochs of three steps, each followed by its end."""

system = replace(tiny.system, data=lambda config: Data(train=KINDS[os.environ["STREAM"]](10), val=tiny.Noisy(6)))


@pytest.fixture
def stream(monkeypatch):
    """Chooses the data set of the trainings that follow."""
    return lambda kind: monkeypatch.setenv("STREAM", kind.__name__)


def train(name, **kwargs):
    return forked([*TRAIN, "--name", name], **kwargs)


def resume(**kwargs):
    return forked(["resume", "killed"], **kwargs)


def whole_and_killed(here, *moments):
    """Gives what an uninterrupted run ends as, and one that was killed at these moments."""
    assert train("whole") == 0
    assert train("killed", prepare=At(moments[0])) == -signal.SIGKILL
    for moment in moments[1:]:
        assert resume(prepare=At(moment)) == -signal.SIGKILL
    assert resume() == 0
    return result(here / "runs" / "whole"), result(here / "runs" / "killed")


@pytest.mark.parametrize("kind", [Resetting, Sticking, Buffering])
def test_a_chain_of_kills_ends_with_the_same_bits(here, stream, kind):
    stream(kind)
    whole, killed = whole_and_killed(here, 3, 4, 7)
    assert killed == whole


@pytest.mark.long
@pytest.mark.parametrize("kind", EXACT)
def test_a_kill_at_any_moment_ends_with_the_same_bits(here, stream, kind):
    stream(kind)
    assert train("whole") == 0
    whole = result(here / "runs" / "whole")
    for moment in MOMENTS:
        assert forked([*TRAIN, "--name", f"killed{moment}"], prepare=At(moment)) == -signal.SIGKILL
        assert forked(["resume", f"killed{moment}"]) == 0
        assert result(here / "runs" / f"killed{moment}") == whole


def test_the_comparison_sees_a_stream_that_does_not_go_back_to_where_it_was(here, stream):
    stream(Forgetting)
    whole, killed = whole_and_killed(here, 3)
    assert whole["model_state_dict"] != killed["model_state_dict"]


def test_a_stream_that_cannot_say_where_it_is_is_told_before_the_first_step(here, stream):
    stream(Stateless)
    assert train("killed", prepare=At(1)) == -signal.SIGKILL
    assert "not exact: the training data is a stream that cannot say where it is" in (here / "output.log").read_text()
    assert train("stopped", prepare=At(2, stop)) == 143
    assert forked(["resume", "stopped"]) == 0
    assert saved_moment(here / "runs" / "stopped") == 8


def test_a_stream_that_has_lost_its_state_is_refused(here, stream):
    stream(Resetting)
    assert train("killed", prepare=At(3)) == -signal.SIGKILL
    stream(Stateless)
    assert resume() == 1
    assert "must have `state_dict` and `load_state_dict`, for the checkpoint" in (here / "output.log").read_text()
