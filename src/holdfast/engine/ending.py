"""How a program that trains in a loop of its own ends: `with`, `close()`, or the end of the program."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from holdfast.errors import UserError


class Ending:
    """The end of a run, which comes once, in whichever way.

    Args:
        path: The run's folder.
        held: What is given back at last (the lock).
    """

    def __init__(self, path: Path, held: ExitStack) -> None:
        self._path = path
        self._held = held
        self._process = os.getpid()
        self._act: Callable[[BaseException | None], int] = lambda error: 0
        self._is_over = False
        atexit.register(self._at_exit)

    def on_end(self, act: Callable[[BaseException | None], int]) -> None:
        """Says what is to be done at the end; it gets the error that brought it and gives how many saves failed."""
        self._act = act

    def check_open(self) -> None:
        """Refuses what comes after the end.

        Raises:
            UserError: When the run is closed.
        """
        if self._is_over:
            raise UserError(f"`{self._path}` must be open, but got a run that is closed; open it again.")

    def end(self, error: BaseException | None = None) -> None:
        """Ends the run; does nothing the second time.

        Raises:
            SystemExit: With code 1, when there is no error but saves have failed.
        """
        if self._finish(error) and error is None:
            raise SystemExit(1)

    def _finish(self, error: BaseException | None) -> bool:
        """Ends the run and says whether saves have failed."""
        if self._is_over or os.getpid() != self._process:
            return False
        self._is_over = True
        atexit.unregister(self._at_exit)
        with self._held:
            failures = self._act(error)
        if failures:
            print(f"holdfast: {failures} saves failed; make room, then the same command again", file=sys.stderr)
        return bool(failures)

    def _at_exit(self) -> None:
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if self._finish(error) and error is None:
            # Nothing but this changes the exit code of a program that is already ending; the others go first.
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
