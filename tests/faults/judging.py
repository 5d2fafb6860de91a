"""ckpt-chaos, a judge that is not ours, with processes forked from this warm one.

Only how a process starts is replaced. Which events there are, where it is killed, how, and what that is called is the
judge's own. `python3 dev.py bench chaos` has it start the real commands.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from ckpt_chaos import byo
from ckpt_chaos.runner import Row
from ckpt_chaos.targets.common import arm_from_env

import tests.processes  # noqa: F401 - what a training imports is imported once here, not in every fork

HERE = Path(__file__).resolve().parent
FINGERPRINT = HERE.parents[1] / "benchmarks" / "_fingerprint.py"
TRAIN = [
    *("train", "tiny:system", "--output-dir", ".", "--name", "run", "--resume", "auto", "--no-tensorboard"),
    *("--samples", "16", "--epochs", "2", "--save-interval", "3 steps", "--keep-last-n", "100"),
]
"""Shuffling, augmentation by three generators, dropout, batch normalisation; two epochs of four steps."""


def judge_holdfast(work: Path, *, modes: tuple[str, ...], max_points: int = 1000) -> list[Row]:
    """Gives the verdicts on a training by command line; the first one is without a kill."""
    code = Path("code")
    code.mkdir()
    shutil.copy(HERE.parent / "tiny.py", code)
    return _judge(
        [sys.executable, str(HERE / "job.py"), "{out}", *TRAIN],
        work,
        modes=modes,
        max_points=max_points,
        result_cmd=f"{sys.executable} {FINGERPRINT} {{out}}/run",
        step_regex=r"going on from .* step (\d+)\)",
        checkpoint_glob="{out}/run/checkpoints/checkpoint_step*.pth",
    )


def judge_rival(fault: str, work: Path, *, modes: tuple[str, ...]) -> list[Row]:
    """Gives the verdicts on a script with that fault."""
    return _judge(
        [sys.executable, str(HERE / "rivals.py"), fault, "{out}"],
        work,
        modes=modes,
        max_points=1000,
        result_file="{out}/weights.txt",
        step_regex=r"going on from step (\d+)",
        checkpoint_glob="{out}/step*.pt" if fault == "moves the latest later" else None,
    )


def _judge(command: Sequence[str], work: Path, **options: Any) -> list[Row]:
    with mock.patch.object(byo, "_run", _run), mock.patch.object(byo, "ThreadPoolExecutor", _OneAfterAnother):
        return byo.run_byo(list(command), None, work, **options)


def _run(command: Sequence[str], environment: dict[str, str], folder: str, timeout: int) -> tuple[int, str]:
    """Runs `python SCRIPT WORDS...` in a forked process; gives its exit code and what it has printed."""
    output = Path(folder) / "output.log"
    child = os.fork()
    if child == 0:
        try:
            with output.open("w") as log, redirect_stdout(log), redirect_stderr(log):
                os._exit(_become(command, environment, folder))
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests of its parent
            output.write_text(traceback.format_exc())
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), output.read_text()


def _become(command: Sequence[str], environment: dict[str, str], folder: str) -> int:
    """Does what a new interpreter would, the judge's start-up included; gives the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = list(command[1:])
    arm_from_env(0, lazy=True)
    try:
        runpy.run_path(command[1], run_name="__main__")
    except SystemExit as ending:
        return int(ending.code or 0)
    finally:
        sys.stdout.flush()
    return 0


class _OneAfterAnother:
    """Stands in for a pool of threads: forking from one of several is not safe."""

    def __init__(self, jobs: int) -> None:
        pass

    def __enter__(self) -> _OneAfterAnother:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *words: Any) -> mock.Mock:
        return mock.Mock(result=mock.Mock(return_value=work(*words)))
