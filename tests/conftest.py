import os

import pytest
import torch

from holdfast.cli.main import run

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet_surroundings(monkeypatch):
    """No test sees the runs or the settings of whoever runs it."""
    for name in ("HOLDFAST_RUNS", "HOLDFAST_TRACEBACK", "TINY_SAMPLES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def holdfast(here, capfd):
    """Runs a command line in an empty folder; gives exit code, standard output and standard error."""

    def command(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture
def entries(here):
    """Gives what is in the current folder."""
    return lambda: sorted(os.listdir(here))
