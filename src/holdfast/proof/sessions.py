"""The trainings of a proof as child processes: one that nobody disturbs, and one that is killed again and again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from holdfast.engine.trace import FILE, KILL_AFTER_STEP, ROOT, SAVE_INTERVAL, Line, read_trace
from holdfast.errors import TrainingError, UserError
from holdfast.proof.subject import ScriptSubject, Subject, environment
from holdfast.run.find import list_runs
from holdfast.run.folder import RunFolder

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""The second is what a shell says in whose hands the process was."""
_USER_ERROR = 2


@dataclass(frozen=True)
class Session:
    """One process of a training, from its begin or resume to its end or kill."""

    lines: Sequence[Line]
    """Its trace."""
    killed_after: int | None = None

    @property
    def began_at(self) -> int:
        """The steps that were done when it began."""
        return min((line["step"] for line in self.lines if "begins" in line), default=0)


@dataclass(frozen=True)
class Trained:
    """A training that has come to its end."""

    folder: RunFolder
    sessions: Sequence[Session]


def train_whole(subject: Subject, folder: Path) -> Trained:
    """Trains without any disturbance.

    Raises:
        UserError: When the child process says that the command line is wrong, or leaves nothing to compare.
        TrainingError: When it fails.
    """
    root = folder / "whole"
    session = _run(subject.begin(root, save_interval=None), root, save_interval=None, kill_after=None)
    if not any("loss" in line for line in session.lines):
        how = " with holdfast.open_run and run.step" if isinstance(subject, ScriptSubject) else ""
        raise UserError(f"`prove` must be given something that trains{how}, but got no step.")
    return Trained(_run_below(root), [session])


def train_killed(
    subject: Subject, folder: Path, *, kills: Sequence[int], told: Callable[[int, Session], None]
) -> Trained:
    """Trains with a kill after each of these steps, going on after each.

    Args:
        subject: What is trained.
        folder: Where.
        kills: After which steps, in order.
        told: Is told of each session that has ended, with its number from 0.

    Raises:
        TrainingError: When a child process fails.
    """
    root = folder / "killed"
    interval = f"{_steps_between_saves(kills)} steps"
    sessions: list[Session] = []
    for number, kill in enumerate([*kills, None]):
        command = subject.begin if number == 0 else subject.go_on
        session = _run(command(root, save_interval=interval), root, save_interval=interval, kill_after=kill)
        sessions.append(session)
        told(number, session)
    return Trained(_run_below(root), sessions)


def steps_of(trained: Trained) -> int:
    """Gives how many steps a training has."""
    return max(line["step"] for session in trained.sessions for line in session.lines)


def _steps_between_saves(kills: Sequence[int]) -> int:
    """Gives an interval that puts a save shortly before each kill, and about ten before the first."""
    return max(1, min(later - earlier for earlier, later in pairwise([0, *kills])) // 8)


def _run(command: Sequence[str], root: Path, *, save_interval: str | None, kill_after: int | None) -> Session:
    root.mkdir(parents=True, exist_ok=True)
    trace_file = root / f"trace{len(list(root.glob('trace*.jsonl')))}.jsonl"
    trace_file.touch()
    told = environment(root, trace_file=trace_file, save_interval=save_interval, kill_after=kill_after)
    inherited = {
        name: value for name, value in os.environ.items() if name not in (FILE, ROOT, SAVE_INTERVAL, KILL_AFTER_STEP)
    }
    log = root / "output.log"
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        start = output.tell()
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**inherited, **told},
                check=False,
            ).returncode
        except OSError as error:
            raise UserError(f"`--` must be followed by a command, but got {command[0]}: {error.strerror}.") from error
    if code not in (_KILLED if kill_after is not None else (0,)):
        raise _failure(code, kill_after, log, start)
    return Session(read_trace(trace_file), kill_after)


def _failure(code: int, kill_after: int | None, log: Path, start: int) -> Exception:
    said = log.read_bytes()[start:].decode(errors="replace").strip()
    last = said.splitlines()[-1] if said else "it said nothing"
    if code == _USER_ERROR:
        _, found, mistake = said.rpartition("holdfast: ")
        return UserError(mistake if found else last)
    if code == 0:
        return TrainingError(
            f"the training must reach step {kill_after} to be killed there, but it ended before; see {log}"
        )
    return TrainingError(f"the training must end by itself, but its process ended with code {code}: {last}; see {log}")


def _run_below(root: Path) -> RunFolder:
    found = list_runs([root])
    if len(found) != 1:
        raise UserError(
            f"`prove` must find one run, but got {len(found) or 'none'} below {root}; "
            "let the script open one run, with holdfast.open_run."
        )
    return RunFolder(found[0].path)
