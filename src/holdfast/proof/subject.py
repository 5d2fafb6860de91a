"""What is proved: the command lines that begin a training and go on with it."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.engine import trace
from holdfast.errors import UserError

_SAVE_INTERVAL = ("--save-interval", "--save_interval", "--save-freq", "--training.save")


class Subject(Protocol):
    """A training that can be begun and gone on with in child processes."""

    def begin(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the command that begins it in a run folder below `root`."""
        ...

    def go_on(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the command that goes on with it."""
        ...


@dataclass(frozen=True)
class SystemSubject:
    """A system, as `holdfast train` trains it."""

    words: Sequence[str]
    """What stands behind `holdfast train`."""
    workers_after: int | None = None
    """The number of loader workers after each kill; None leaves it as it is."""

    def begin(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the command that begins it; an interval that the words hold counts more."""
        interval = ["--save-interval", save_interval] if save_interval and not self._has_interval() else []
        place = ["--output-dir", str(root), "--name", "run"]
        return [sys.executable, "-m", "holdfast", "train", *self.words, *interval, *place]

    def go_on(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the command that goes on with it; the interval stands in the run's configuration."""
        workers = [] if self.workers_after is None else ["--workers", str(self.workers_after)]
        return [sys.executable, "-m", "holdfast", "resume", str(root / "run"), *workers]

    def _has_interval(self) -> bool:
        return any(word.startswith(_SAVE_INTERVAL) for word in self.words)


@dataclass(frozen=True)
class ScriptSubject:
    """A script with a loop of its own that uses `holdfast.open_run`: the same command begins it and goes on."""

    command: Sequence[str]

    def begin(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the command; what it needs to know stands in its environment (see `environment`)."""
        return list(self.command)

    def go_on(self, root: Path, *, save_interval: str | None) -> list[str]:
        """Gives the same command again."""
        return list(self.command)


def environment(root: Path, *, trace_file: Path, save_interval: str | None, kill_after: int | None) -> dict[str, str]:
    """Gives what a child process is told by its environment."""
    told = {
        trace.ROOT: str(root),
        trace.FILE: str(trace_file),
        trace.SAVE_INTERVAL: save_interval,
        trace.KILL_AFTER_STEP: None if kill_after is None else str(kill_after),
    }
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class KillAt:
    """Kills after chosen steps."""

    steps: Sequence[int]

    def choose(self, total: int) -> list[int]:
        """Gives the steps in order.

        Raises:
            UserError: When one of them is not a step of the training.
        """
        if wrong := [step for step in self.steps if not 1 <= step <= total]:
            raise UserError(
                f"`--kill-at` must name steps from 1 to {total}, which is where the training ends, "
                f"but got {', '.join(map(str, wrong))}; choose earlier ones."
            )
        return sorted(set(self.steps))


@dataclass(frozen=True)
class KillAnywhere:
    """Kills after random steps; another seed chooses others."""

    count: int
    seed: int = 0

    def choose(self, total: int) -> list[int]:
        """Gives the steps in order, never the last one, and the first one only where there is no choice.

        Raises:
            UserError: When the training has too few steps.
        """
        steps = range(2, total) if total - 2 >= self.count else range(1, total)
        if len(steps) < self.count:
            raise UserError(
                f"`--kills` must be less than the {total} steps of the training, but got {self.count}; "
                "train longer or kill it less often."
            )
        return sorted(random.Random(self.seed).sample(steps, self.count))


Kills = KillAt | KillAnywhere
