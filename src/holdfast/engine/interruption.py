"""What asks a run to stop: signals, whose handler only sets a flag, and a time limit. The loop saves and leaves.

A second signal ends the process at once, by the signal's own default; everything on disk is complete at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from holdfast.errors import Interrupted

TIME_LIMIT = 3
"""The exit code of a run that its time limit has stopped."""
_SHOW_CURSOR = b"\x1b[?25h"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """The wish to stop, as a context manager that listens for SIGTERM and SIGINT in the main thread.

    Args:
        time_limit: Seconds from now by which the process is to have ended; None for as long as it takes.
        now: A clock that never goes back, in seconds.
    """

    def __init__(self, time_limit: float | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.signal_number: int | None = None
        self.reserve = 0.0
        """Seconds that leaving takes: the loop sets it to those of a save."""
        self._now = now
        self._deadline = None if time_limit is None else now() + time_limit
        self._checked_at: float | None = None
        self._longest_gap = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def leave_children_alone(self) -> None:
        """Takes the handler away by which torch raises, in any line, when a loader worker dies.

        It would raise again while the first such error is being written down.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def check(self) -> None:
        """Raises `Interrupted` when a signal has come, or when the next stretch of work might end after the limit."""
        if self.signal_number is not None:
            raise Interrupted(128 + self.signal_number, f"stopped by {signal.Signals(self.signal_number).name}")
        if self._deadline is not None:
            now = self._now()
            # What comes before the first step is no measure of a step.
            if self._checked_at is not None:
                self._longest_gap = max(self._longest_gap, now - self._checked_at)
            self._checked_at = now
            if now + self._longest_gap + self.reserve >= self._deadline:
                raise Interrupted(TIME_LIMIT, "stopped by the time limit")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:
            _write(_SHOW_CURSOR if sys.stderr.isatty() else b"")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.signal_number = number
        _write(b"\nstopping at the next step, with a checkpoint (again to stop at once)\n")


def _write(text: bytes) -> None:
    """Writes to standard error in a way that is safe inside a signal handler, if there is one."""
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), text)
