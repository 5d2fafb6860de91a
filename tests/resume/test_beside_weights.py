"""What a module keeps beside its weights is restored with them, in the averaged ones, too."""

import signal

import pytest

from holdfast.checkpoint import archive
from tests.processes import forked, result, signal_after_step


@pytest.mark.parametrize("kind", ["tensor", "dictionary", "nothing"])
def test_a_run_whose_model_remembers_more_than_weights_ends_with_the_same_bits(here, kind):
    words = ["train", f"tests.resume.remembering:{kind}", "--no-tensorboard", "--save-interval", "2 steps"]
    words += ["--training.ema", "0.9"]
    assert forked([*words, "--name", "whole"]) == 0
    assert forked([*words, "--name", "killed"], prepare=signal_after_step(8)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")
    state = archive.read(here / "runs" / "whole" / "checkpoints" / "checkpoint_latest.pth")
    averaged = state["ema_state_dict"]["model_state_dict"]["1._extra_state"]
    assert repr(averaged) == repr(state["model_state_dict"]["1._extra_state"])
