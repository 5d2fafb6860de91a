"""What cannot be begun from is refused in one line, before anything is created, and nothing in a file is run."""

import os
import pickle

import pytest
import torch

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--name", "new")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.fixture
def refused(holdfast, here):
    """Runs a command that must be refused; gives its message after checking that nothing came into being."""

    def command(*words, code=2):
        before = sorted(here.rglob("*"))
        found, out, err = holdfast(*words)
        assert (found, "Traceback" in err, err.count("\n")) == (code, False, 1), (out, err)
        assert sorted(here.rglob("*")) == before
        return err.strip()

    return command


def test_a_misspelled_run_gets_the_nearest_one(refused, source):
    assert "did you mean source?" in refused(*TINY, "--init-from", "sourec")


def test_a_file_that_is_not_there_is_said_to_be_missing(refused):
    assert "`gone.pth` must be a checkpoint in a run, but got no file" in refused(*TINY, "--init-from", "gone.pth")


def test_a_run_without_a_checkpoint_says_how_to_get_one(refused, source):
    for path in source.glob("*.pth"):
        path.unlink()
    assert "must have a checkpoint, but got a run without one" in refused(*TINY, "--init-from", "source")


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("words", [(*TINY, "--init-from"), ("resume",)])
def test_a_flipped_byte_of_a_loose_checkpoint_is_found(refused, here, source, words, place):
    content = bytearray((source / "checkpoint_latest.pth").read_bytes())
    content[int(place * len(content))] ^= 1
    (here / "loose.pth").write_bytes(content)
    assert "`loose.pth` must hold the bytes that were written" in refused(*words, "loose.pth", code=1)


def test_a_text_an_empty_file_and_a_folder_are_told(refused, here):
    (here / "notes.txt").write_text("these are no weights")
    (here / "empty.pth").touch()
    (here / "folder").mkdir()
    assert "`notes.txt` must be a checkpoint" in refused(*TINY, "--init-from", "notes.txt")
    assert "the file is too short" in refused(*TINY, "--init-from", "empty.pth", code=1)
    assert "`folder` must be a checkpoint in a known layout" in refused(*TINY, "--init-from", "folder")
    assert "`folder` must be a run" in refused("resume", "folder")
    assert "`notes.txt` must be a checkpoint" in refused("resume", "notes.txt")


@pytest.mark.parametrize("pack", [pickle.dumps, None])
def test_a_file_that_would_run_something_runs_nothing(refused, here, pack):
    held = {"state_dict": {"0.weight": torch.zeros(4, 3), "trap": Trap()}, "epoch": 1}
    if pack:
        (here / "trap.pth").write_bytes(pack(held))
    else:
        torch.save(held, here / "trap.pth")
    for words in ((*TINY, "--init-from", "trap.pth"), (*TINY, "--resume", "trap.pth"), ("resume", "trap.pth")):
        refused(*words)
    assert not (here / "trapped").exists()


def test_another_architecture_is_refused_with_the_setting_that_differs(refused, source):
    message = refused(*TINY, "--init-from", "source", "--width", "7")
    assert "0.weight is [4, 3] instead of [7, 3]" in message
    assert message.endswith("Settings: `model.width` is 7 here and was 4 there.")


def test_a_network_that_shares_nothing_is_refused_with_names_of_both(refused, here):
    torch.save({"conv.weight": torch.zeros(3)}, here / "other.pth")
    message = refused(*TINY, "--init-from", "other.pth")
    assert "none of its 1 names fits: it has conv.weight; the model has 0.weight, 0.bias, 1.weight" in message


@pytest.mark.parametrize("path", ["source", "loose.pth"])
def test_weights_alone_and_everything_cannot_both_be_taken(refused, here, source, path):
    (here / "loose.pth").write_bytes((source / "checkpoint_latest.pth").read_bytes())
    assert "but got --resume as well" in refused(*TINY, "--init-from", "source", "--resume", path)
    (here / "exp.yaml").write_text(f"training: {{resume: {path}}}\n")
    assert "but got --resume as well" in refused(*TINY, "--config", "exp.yaml", "--init-from", "source")


def test_a_resumed_run_takes_no_weights_from_elsewhere(refused, source):
    assert "must begin a new run" in refused("resume", "source", "--init-from", "source")


def test_choices_without_weights_to_choose_from_are_mistakes(refused, here, source):
    (here / "w.pth").write_bytes((source / "weights_best.pth").read_bytes())
    assert "got no --init-from" in refused(*TINY, "--leave", "4.*")
    assert "got no --init-from" in refused(*TINY, "--checkpoint", "best")
    assert "w.pth is no run; leave --checkpoint out" in refused(*TINY, "--init-from", "w.pth", "--checkpoint", "best")


def test_a_name_in_use_is_refused_and_what_stands_there_stays(refused, source):
    message = refused(*TINY[:-1], "source", "--init-from", "source")
    assert "`source` must be a new run, but got one that exists already" in message
