import subprocess
import sys
from pathlib import Path

from examples.digits import system

import holdfast
from holdfast.run.folder import RunFolder

LOOP = Path(__file__).parents[2] / "examples" / "digits_loop.py"


def test_the_example_system_reads_digits(here):
    folder = holdfast.train(system, {"logging": {"tensorboard": False}})
    assert holdfast.load_run(folder, system=system).metrics["val/Acc1"] >= 95


def test_the_example_loop_reads_digits(here):
    done = subprocess.run([sys.executable, LOOP, "--epochs", "10"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    status = RunFolder(here / "runs" / "digits_loop").read_status()
    assert (status.state, status.epoch) == ("finished", 10)
    assert status.best is not None
    assert status.best >= 0.95
