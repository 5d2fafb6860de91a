"""Signals that ask a run to stop: the handler only sets a flag, the loop saves and leaves at the next step.

A second signal ends the process at once, by the signal's own default; everything on disk is complete at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from holdfast.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """The wish to stop, as a context manager that listens for SIGTERM and SIGINT in the main thread."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def check(self) -> None:
        """Raises `Interrupted` when a signal has come."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number, f"stopped by {signal.Signals(self.signal_number).name}")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.signal_number = number
        # A plain write: printing is not safe inside a signal handler.
        os.write(sys.stderr.fileno(), b"\nstopping at the next step, with a checkpoint (again to stop at once)\n")
