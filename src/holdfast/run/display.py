"""The progress of a run, for the person in front of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from holdfast.clock import Clock
from holdfast.run.observer import EpochReport, StepReport
from holdfast.run.wording import duration, epoch_line

_DRAWN_EVERY = 0.1
"""Seconds between two pictures of the bar."""
_WIDE = 110
"""Columns from which there is room for a bar beside the words."""
_SAID_EVERY = 30.0
"""Seconds between two lines within an epoch, where there is no terminal."""


class Display:
    """An observer that shows how far the run is: a bar on a terminal, plain lines elsewhere.

    Used as a context manager. A terminal (or the reader of a pipe) that has gone away does not stop the training.

    Args:
        total_epochs: How many epochs are planned; None for a run that is counted in steps.
        total_steps: How many steps are planned; None when nobody knows.
        steps_per_epoch: How many steps an epoch has; None when nobody knows.
        best_name: The monitored metric.
        console: Where it is shown; standard output by default.
        start: The clock from which this process goes on.
        now: A clock that never goes back, in seconds.
    """

    def __init__(
        self,
        *,
        total_epochs: int | None,
        total_steps: int | None,
        steps_per_epoch: int | None,
        best_name: str,
        start: Clock,
        console: Console | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total_epochs = total_epochs
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._best_name = best_name
        self._best: float | None = None
        # FORCE_COLOR makes rich take a log file for a terminal; only a real one gets a bar.
        self._console = console or Console(force_terminal=None if sys.stdout.isatty() else False)
        self._now = now
        self._speed = _Speed(start, now())
        has_bar = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(console=self._console, auto_refresh=False) if has_bar else None
        self._interval = _DRAWN_EVERY if has_bar else _SAID_EVERY
        self._next = now() + self._interval

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            with self._silent_when_gone():
                self._live.stop()

    def say(self, text: str) -> None:
        """Prints a text above the bar."""
        with self._silent_when_gone():
            if self._live:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            elif not self._console.quiet:
                # Not through rich, which ends the process when the reader of a pipe has gone.
                self._console.file.write(f"{text}\n")
                self._console.file.flush()

    def after_step(self, report: StepReport) -> None:
        """Shows the step when the last picture is old enough."""
        now = self._now()
        if now < self._next:
            return
        self._next = now + self._interval
        self._speed.update(report.clock, now)
        if self._live:
            with self._silent_when_gone():
                self._live.update(self._bar(report), refresh=True)
        else:
            self.say(", ".join(self._words(report)))

    def after_epoch(self, report: EpochReport, pictures: Mapping[str, Any]) -> None:
        """Prints the line of the epoch."""
        self._best = report.best
        self._next = self._now() + self._interval
        self.say(epoch_line(report, total_epochs=self._total_epochs, best_name=self._best_name))

    @contextmanager
    def _silent_when_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._console.quiet = True

    def _words(self, report: StepReport) -> list[str]:
        clock = report.clock
        words = [
            f"epoch {self._epoch_in_progress(clock)}" + (f"/{self._total_epochs}" if self._total_epochs else ""),
            f"step {clock.step}" + (f"/{self._total_steps}" if self._total_steps else ""),
            f"loss {report.loss:.4g}",
        ]
        if self._best is not None:
            words.append(f"best {self._best:.4g}")
        if self._total_steps:
            words.append(f"{duration(self._speed.seconds_for(self._total_steps - clock.step))} left")
        return [*words, f"{self._speed.samples_per_second:.4g} samples/s"]

    def _epoch_in_progress(self, clock: Clock) -> int:
        """Gives the number, from 1, of the epoch to which the last step belongs."""
        return (clock.step - 1) // self._steps_per_epoch + 1 if self._steps_per_epoch else clock.epoch + 1

    def _bar(self, report: StepReport) -> Table:
        words = self._words(report)
        row = Table.grid(padding=(0, 2))
        if self._console.width < _WIDE:
            row.add_row(Text("  ".join(words), no_wrap=True, overflow="ellipsis"))
            return row
        bar = ProgressBar(total=self._total_steps, completed=report.clock.step, width=12, pulse=not self._total_steps)
        row.add_row(Text(words[0]), bar, Text("  ".join(words[1:]), no_wrap=True, overflow="ellipsis"))
        return row


class _Speed:
    """How fast the run is: samples over the last seconds, steps over the whole session (evaluation included)."""

    def __init__(self, start: Clock, now: float) -> None:
        self._start, self._started = start, now
        self._last, self._updated = start, now
        self._elapsed = 0.0
        self.samples_per_second = 0.0

    def update(self, clock: Clock, now: float) -> None:
        """Looks at the clock again."""
        passed = now - self._updated
        current = (clock.samples - self._last.samples) / passed
        # A plain mean at first; later, what is 5 s old counts half.
        weight = max(1 - 0.5 ** (passed / 5), passed / (now - self._started))
        self.samples_per_second += weight * (current - self.samples_per_second)
        self._last, self._updated = clock, now
        self._elapsed = now - self._started

    def seconds_for(self, steps: int) -> float:
        """Gives how long so many more steps take, going by those of this session."""
        return steps * self._elapsed / max(1, self._last.step - self._start.step)
