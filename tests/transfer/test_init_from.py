"""A new run that begins with the weights of another."""

import hashlib
import json
import shutil
import signal

import pytest
import torch

from holdfast.assembly import build_training
from holdfast.checkpoint import archive
from holdfast.config import resolve
from holdfast.launch import InitFrom
from holdfast.launch.sources import find_weights
from holdfast.run.folder import RunFolder
from tests.processes import digest, forked, result, signal_after_step
from tests.tiny import TinyConfig, make_model, system

TINY = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "2"]


def train(name, *options, **kwargs):
    return forked([*TINY, "--name", name, *options], **kwargs)


def first_state(here, name):
    """Gives the state with which a run begins, by killing it at its first step."""
    folder = here / "runs" / name / "checkpoints"
    assert [path.name for path in folder.glob("*.pth")] == ["checkpoint_latest.pth"]
    return archive.read(folder / "checkpoint_latest.pth")


def kill_at_once():
    return {"prepare": signal_after_step(1)}


def test_the_run_begins_with_the_weights_alone(here, source):
    assert train("warm", "--init-from", "source", "--seed", "5", **kill_at_once()) == -signal.SIGKILL
    state = first_state(here, "warm")
    best = archive.read(source / "checkpoint_best.pth")
    assert digest(state["model_state_dict"]) == digest(best["model_state_dict"])
    assert (state["epoch"], state["step"], state["samples"], state["best_metric"]) == (0, 0, 0, None)
    assert state["optimizer_state_dict"]["state"] == {}


def test_a_killed_run_ends_in_the_same_hash_without_the_file_it_began_with(here, source):
    words = ("--init-from", "source", "--epochs", "2")
    assert train("whole", *words) == 0
    whole = result(here / "runs" / "whole")
    for name, step in {"killed": 1, "later": 7, "rival": 1}.items():
        assert train(name, *words, prepare=signal_after_step(step)) == -signal.SIGKILL
    shutil.rmtree(source.parent)
    for name in ("killed", "later"):
        assert forked(["resume", name]) == 0
        assert result(here / "runs" / name) == whole
    # A run that had kept only the name of its weights would end elsewhere.
    (here / "runs" / "rival" / "checkpoints" / "checkpoint_latest.pth").unlink()
    assert forked(["resume", "rival"]) == 0
    assert result(here / "runs" / "rival")["model_state_dict"] != whole["model_state_dict"]


def test_averaged_weights_are_taken_and_a_new_average_begins_with_them(here):
    assert train("source", "--epochs", "1", "--ema", "0.9") == 0
    assert train("warm", "--init-from", "source", "--ema", "0.9", **kill_at_once()) == -signal.SIGKILL
    state = first_state(here, "warm")
    best = archive.read(here / "runs" / "source" / "checkpoints" / "checkpoint_best.pth")
    averaged = digest(best["ema_state_dict"]["model_state_dict"])
    assert digest(state["model_state_dict"]) == averaged != digest(best["model_state_dict"])
    assert digest(state["ema_state_dict"]["model_state_dict"]) == averaged
    assert state["ema_state_dict"]["updates"] == 0
    assert "averaged weights" in (here / "output.log").read_text()


def test_the_run_explains_where_its_weights_come_from(holdfast, here, source):
    file = source / "checkpoint_best.pth"
    code, out, _ = holdfast(*TINY, "--name", "warm", "--epochs", "1", "--init-from", "source")
    assert code == 0
    state = archive.read(file)
    assert out.splitlines()[:2] == [
        f"weights from {file} (Holdfast, epoch {state['epoch']}, step {state['step']})",
        "  matched  9 of 9, 100.0 % of the model's values",
    ]
    told = json.loads((here / "runs" / "warm" / "provenance.json").read_text())["init_from"]
    assert (told["path"], told["share"], told["averaged"]) == (str(file), 1.0, False)
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_run_means_its_best_then_its_latest_and_the_choice_overrules(holdfast, source):
    assert find_weights("source", choice=None) == source / "checkpoint_best.pth"
    assert find_weights("source", choice="latest") == source / "checkpoint_latest.pth"
    assert find_weights("source", choice="checkpoint_epoch1.pth") == source / "checkpoint_epoch1.pth"
    words = (*TINY, "--name", "warm", "--epochs", "1", "--init-from", "source")
    assert "checkpoint_latest.pth (Holdfast" in holdfast(*words, "--checkpoint", "latest")[1]
    (source / "checkpoint_best.pth").unlink()
    assert find_weights("source", choice=None) == source / "checkpoint_latest.pth"


@pytest.mark.parametrize("kind", ["bare", "parallel", "script", "network"])
def test_files_of_other_programs_give_their_weights(tmp_path, kind):
    theirs = make_model(TinyConfig())
    weights = theirs.state_dict()
    held = {
        "bare": weights,
        "parallel": {f"module.{name}": value for name, value in weights.items()},
        "script": {"epoch": 3, "state_dict": weights, "best_acc1": 1.0},
        "network": theirs,
    }[kind]
    torch.save(held, tmp_path / "theirs.pth")
    resolved = resolve(TinyConfig, [])
    training = build_training(system, resolved.config, stage="train")
    assert digest(training.learner.model.state_dict()) != digest(weights)
    origin = InitFrom(tmp_path / "theirs.pth")(training, resolved, lambda line: None)
    assert digest(training.learner.model.state_dict()) == digest(weights)
    assert origin["init_from"]["share"] == 1.0


def test_weights_that_do_not_fit_are_left_when_that_is_asked_for(holdfast, source):
    words = (*TINY, "--name", "wide", "--epochs", "1", "--width", "7", "--init-from", "source")
    code, out, _ = holdfast(*words, "--leave", "0.*", "--leave", "1.*", "--leave", "4.weight")
    assert code == 0
    assert "  matched  1 of 9, 1.5 % of the model's values" in out
    assert "  left     8, in the file: 0.weight, 0.bias" in out


def test_the_same_command_goes_on_with_the_run_and_reads_the_file_only_once(holdfast, here, source):
    words = (*TINY, "--name", "warm", "--resume", "auto", "--init-from", "source")
    assert holdfast(*words, "--epochs", "1")[0] == 0
    shutil.rmtree(source.parent)
    code, out, _ = holdfast(*words, "--epochs", "2")
    assert code == 0
    assert "--init-from is not read again" in out
    assert RunFolder(here / "runs" / "warm").read_status().epoch == 2


STAGES = (
    "system: tests.tiny:system\nlogging: {tensorboard: false}\ntraining: {epochs: 1}\nstages:\n  - {name: first}\n"
    "  - {name: second, init_from: best_first.pth}\n  - {name: third, init_from: runs/source}\n"
)


def test_a_stage_begins_with_what_it_names_and_the_command_line_wins(holdfast, here, source):
    (here / "exp.yaml").write_text(STAGES)
    words = ("train", "--config", "exp.yaml", "--stage")
    assert "checkpoint_best.pth" in holdfast(*words, "third", "--name", "a")[1]
    weights = source / "weights_best.pth"
    code, out, _ = holdfast(*words, "second", "--name", "b", "--init-from", weights)
    assert code == 0
    assert "weights_best.pth (bare weights)" in out
    assert (here / "runs" / "b" / "checkpoints" / "second" / "checkpoint_latest.pth").exists()


def test_a_stage_after_one_that_has_not_run_here_asks_for_its_weights(holdfast, here, entries):
    (here / "exp.yaml").write_text(STAGES)
    code, _, err = holdfast("train", "--config", "exp.yaml", "--stage", "second")
    assert code == 2
    assert "must be the best of the stage 'first' of the same run" in err and "--init-from" in err
    assert entries() == ["exp.yaml"]
