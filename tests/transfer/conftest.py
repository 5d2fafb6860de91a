"""A finished run and what is left of it, made once."""

import os
import shutil

import pytest

from tests.processes import forked, result


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The folder in which a finished run of three epochs is `runs/source`."""
    folder, before = tmp_path_factory.mktemp("made"), os.getcwd()
    os.chdir(folder)
    try:
        words = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "2", "--name", "source"]
        assert forked([*words, "--save-interval", "7 steps", "--milestones", "[1]", "--keep-last-n", "9"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def source(here, made):
    """The checkpoints of a finished run in the current folder, a copy of its own."""
    shutil.copytree(made / "runs", here / "runs")
    return here / "runs" / "source" / "checkpoints"


@pytest.fixture
def copied_out(here, made):
    """Gives a checkpoint of that run alone in the world, and what came of the run."""

    def copy(name="checkpoint_epoch1.pth"):
        shutil.copy(made / "runs" / "source" / "checkpoints" / name, here / "copy.pth")
        return result(made / "runs" / "source")

    return copy
