"""Going on from a checkpoint of a run that was copied out of it."""

import json
import signal

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.run.folder import RunFolder
from holdfast.run.journal import read_rows
from tests.processes import digest, forked, result, signal_after_step

OF_A_LONGER_RUN = ("files", "metrics.jsonl", "metrics.csv", "best", "weights_best")


def state_of(parts):
    return {name: part for name, part in parts.items() if name not in OF_A_LONGER_RUN}


@pytest.mark.parametrize("name", ["checkpoint_epoch1.pth", "checkpoint_step7.pth"])
def test_it_needs_nothing_else_and_ends_in_the_same_weights(here, copied_out, name):
    expected = copied_out(name)
    assert forked(["resume", "copy.pth", "--name", "again"]) == 0
    assert state_of(result(here / "runs" / "again")) == state_of(expected)


def test_it_may_be_killed_before_its_first_save_and_does_not_need_the_copy_any_more(here, copied_out):
    expected = copied_out()
    killed = forked(["resume", "copy.pth", "--name", "again"], prepare=signal_after_step(6))
    assert killed == -signal.SIGKILL
    (here / "copy.pth").unlink()
    assert forked(["resume", "again"]) == 0
    assert state_of(result(here / "runs" / "again")) == state_of(expected)
    rows = read_rows(here / "runs" / "again" / "logs" / "metrics.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "step"] == [6, 8, 10, 12, 14]


def test_the_run_says_what_it_goes_on_from(holdfast, here, copied_out):
    copied_out()
    code, out, _ = holdfast("resume", "copy.pth", "--name", "again", "--epochs", "4")
    assert code == 0
    assert "changed: training.epochs from 3 to 4" in out
    assert "going on from copy.pth (Holdfast) as a new run: epoch 1, step 5" in out
    told = json.loads((here / "runs" / "again" / "provenance.json").read_text())["continued_from"]
    assert (told["epoch"], told["step"], told["anew"], told["left"]) == (1, 5, [], [])


def test_it_goes_where_a_new_run_goes_not_where_its_old_one_was(holdfast, here, copied_out):
    copied_out()
    assert holdfast("resume", "copy.pth", "--output-dir", "elsewhere")[0] == 0
    (run,) = (here / "elsewhere").iterdir()
    assert run.name.startswith("tiny_width4_lr0.05_")


def test_the_best_state_has_its_names_in_the_new_run_from_the_start(here, copied_out):
    copied_out("checkpoint_best.pth")
    words = ["resume", "copy.pth", "--name", "again", "--epochs", "9"]
    assert forked(words, prepare=signal_after_step(archive.read(here / "copy.pth")["step"] + 1)) == -signal.SIGKILL
    place = here / "runs" / "again" / "checkpoints"
    best = archive.read(here / "copy.pth")["model_state_dict"]
    assert digest(archive.read(place / "checkpoint_best.pth")["model_state_dict"]) == digest(best)
    assert digest(torch.load(place / "weights_best.pth", weights_only=True)) == digest(best)


def test_a_best_whose_weights_are_elsewhere_still_has_to_be_beaten(holdfast, here, copied_out):
    copied_out()
    state = archive.read(here / "copy.pth")
    state |= {"best_metric": 1e-9, "best_step": 2}
    with (here / "other.pth").open("wb") as file:
        archive.write(file.fileno(), state)
    out = holdfast("resume", "other.pth", "--name", "again")[1]
    assert "best  1e-09 so far, taken for val/error; its weights are elsewhere" in out
    assert not (here / "runs" / "again" / "checkpoints" / "checkpoint_best.pth").exists()
    assert RunFolder(here / "runs" / "again").read_status().best == 1e-9


@pytest.mark.parametrize(
    "words,message",
    [
        (["--width", "9"], "`model.width` must stay 4 in this run, but got 9"),
        (["--epochs", "1"], "`training.epochs` must be more than the 1 that are done in copy.pth, but got 1"),
        (["--rewind"], "`--rewind` must set checkpoints of a run aside"),
        (["--epoch", "2"], "`--epoch` must be what copy.pth does not say itself"),
        (["--stage", "other"], "`--stage` must be the one of copy.pth, 'train', but got 'other'"),
        (["--time-limit", "soon"], "`--time-limit` must be a time"),
    ],
)
def test_what_cannot_be_asked_of_it_is_refused_before_anything_is_made(holdfast, copied_out, entries, words, message):
    copied_out()
    before = entries()
    code, _, err = holdfast("resume", "copy.pth", *words)
    assert (code, entries()) == (2, before)
    assert message in err


def test_another_system_is_refused(holdfast, here, copied_out):
    copied_out()
    code, _, err = holdfast("train", "tests.prove.flawed:system", "--resume", "copy.pth")
    assert code == 2
    assert "'tests.tiny:system'" in err


def test_data_of_another_length_is_refused(holdfast, here, copied_out, monkeypatch):
    copied_out()
    monkeypatch.setenv("TINY_SAMPLES", "21")
    code, _, err = holdfast("resume", "copy.pth")
    assert code == 2
    assert "copy.pth: the training data must have the 20 samples" in err
    assert not (here / "runs").exists()
