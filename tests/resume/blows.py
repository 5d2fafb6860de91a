"""Blows that end a training at a chosen moment, and sessions that take them, on the CPU and on CUDA.

A moment counts finished steps and closed epochs together: two epochs of four steps have the moments 1 to 10, of which
5 and 10 are the ends of epochs. A state that was saved at a moment has `step + epoch` equal to it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from holdfast.checkpoint import archive
from holdfast.cli.main import run
from holdfast.engine import train as loop
from holdfast.launch import stage
from tests.faults.calls import Call, Calls, kills
from tests.processes import forked

Act = Callable[[], None]
"""What happens to a process; a value that can be pickled, for CUDA has its sessions in processes of their own."""


def nothing() -> None:
    """Leaves the process alone."""


def kill() -> None:
    """Ends the process at once, in the middle of whatever it does."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Asks the process to stop at the next step, with a checkpoint."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class At:
    """Acts right after a moment, before its state is saved."""

    moment: int
    act: Act = field(default=kill, repr=False)

    def __call__(self) -> None:
        take_step, close_epoch = loop.take_step, loop.close_epoch

        def take_step_then_act(training, batch):
            report = take_step(training, batch)
            self._act_if_now(training.clock)
            return report

        def close_epoch_then_act(training, interruption):
            close_epoch(training, interruption)
            self._act_if_now(training.clock)

        loop.take_step, loop.close_epoch = take_step_then_act, close_epoch_then_act

    def _act_if_now(self, clock) -> None:
        if clock.step + clock.epoch == self.moment:
            self.act()


@dataclass(frozen=True)
class InEvaluation:
    """Acts when an evaluation has done its first batch, in the epoch whose end would be the moment."""

    moment: int
    act: Act = field(default=kill, repr=False)

    def __call__(self) -> None:
        close_epoch, evaluate = loop.close_epoch, loop.evaluate

        def close_epoch_or_act(training, interruption):
            if training.clock.step + training.clock.epoch + 1 == self.moment:
                loop.evaluate = lambda *args, progress: evaluate(*args, progress=lambda done: self.act())
            close_epoch(training, interruption)

        loop.close_epoch = close_epoch_or_act


@dataclass(frozen=True)
class AfterTheLastSave:
    """Acts when the last state of a run is saved and only its end has to be written down."""

    act: Act = field(default=kill, repr=False)

    def __call__(self) -> None:
        stage.Journal.finish = lambda *args: self.act()


@dataclass(frozen=True)
class BeforeTheFirstStep:
    """Acts when everything is restored and nothing has been trained since."""

    act: Act = field(default=stop, repr=False)

    def __call__(self) -> None:
        run_loop = stage.run_loop

        def act_then_train(*args):
            self.act()
            run_loop(*args)

        stage.run_loop = act_then_train


@dataclass(frozen=True)
class KillAtCall:
    """Ends the process in place of its nth call of the system that is about a folder."""

    folder: Path
    number: int

    def __call__(self) -> None:
        Calls(self.folder, kills(self.number)).install()


@dataclass(frozen=True)
class CountCalls:
    """Writes down how many calls of the system were about a folder."""

    folder: Path
    into: Path

    def __call__(self) -> None:
        def note(number: int, call: Call) -> None:
            self.into.write_text(str(number))

        Calls(self.folder, note).install()


@dataclass(frozen=True)
class Both:
    """One act after another."""

    first: Act
    second: Act

    def __call__(self) -> None:
        self.first()
        self.second()


def saved_moment(run_folder: Path) -> int:
    """Gives the moment of the newest state of a run; 0 when it has none."""
    latest = run_folder / "checkpoints" / "checkpoint_latest.pth"
    if not latest.exists():
        return 0
    state = archive.read(latest)
    return state["step"] + state["epoch"]


def session(device: str, words: list[str], prepare: Act = nothing) -> int:
    """Runs a command line in a process of its own; gives its exit code, or minus the signal that ended it."""
    if device == "cpu":
        return forked(words, prepare=prepare)
    # A fork of a process that has only looked for CUDA cannot use it: these come from a server that never looks.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "holdfast.cli.main", "holdfast.launch"])
    process = context.Process(target=_on_cuda, args=(os.getcwd(), words, prepare))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _on_cuda(folder: str, words: list[str], prepare: Act) -> None:
    os.chdir(folder)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    prepare()
    raise SystemExit(run(words))
