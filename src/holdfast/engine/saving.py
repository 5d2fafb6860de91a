"""When a training is saved, and under which names."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.checkpoint.store import PartlySaved, Store
from holdfast.clock import Clock
from holdfast.engine.training import Progress

LATEST_AT_LEAST_EVERY = 600.0
"""Seconds after which the latest state is saved even when no interval is due."""


class Saver:
    """Saves a training into a folder of checkpoints when its plan says so.

    A save that fails (a full disk) is told in one line and does not stop the training: the last good checkpoint is
    untouched, and the next interval tries again.
    """

    def __init__(
        self,
        store: Store,
        capture: Callable[[Any], dict[str, Any]],
        tell: Callable[[str], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._capture = capture
        self._tell = tell
        self._now = now
        self._saved_at = now()
        self._numbered_at = now()
        self.failures = 0
        """How many saves have failed."""
        self.has_failed = False
        """Whether the last one did."""
        self.longest = 0.0
        """Seconds of the longest save."""
        self.last_saved: Path | None = None
        """The newest good checkpoint of this process."""

    def save_when_due(self, training: Progress, before: Clock) -> None:
        """Saves when something has become due since the clock `before`."""
        after = training.clock
        is_best = training.record.best_step == after.step and training.record.closed_at == after.step
        is_numbered = training.is_over or training.save_plan.is_due(before, after) or self._interval_is_over(training)
        is_late = self._now() - self._saved_at >= LATEST_AT_LEAST_EVERY
        if is_numbered or is_best or is_late or after.epoch > before.epoch:
            self.save(training, number=_number(training, before) if is_numbered else None, is_best=is_best)

    def save(self, training: Progress, *, number: str | None = None, is_best: bool = False) -> bool:
        """Saves the latest state now, also under a number and as the best when asked; says whether that worked."""
        self._saved_at = self._now()
        if number:
            self._numbered_at = self._saved_at
        try:
            saved = self._store.save(self._capture(training), number=number, is_best=is_best)
        except PartlySaved as error:
            self.failures += 1
            self.has_failed, self.last_saved = True, error.path
            self._tell(
                f"step {training.clock.step} is saved as {error.path.name}, but its further names or the removal of "
                f"old ones have to wait: {error.strerror}; the next save tries again"
            )
            return True
        except OSError as error:
            self.failures += 1
            self._tell(
                f"could not save step {training.clock.step}: {error.strerror or error}; training goes on, "
                f"the last good checkpoint is untouched ({self._store.latest() or 'there is none yet'}), "
                f"and the next save tries again{'; this state was the best so far' if is_best else ''}"
            )
            self.has_failed = True
            return False
        finally:
            self.longest = max(self.longest, self._now() - self._saved_at)
        if self.last_saved is None:
            self._tell(self._store.space(saved))
        self.last_saved = saved
        self.has_failed = False
        return True

    def _interval_is_over(self, training: Progress) -> bool:
        elapsed = self._now() - self._numbered_at
        return any(every.unit == "seconds" and elapsed >= every.count for every in training.save_plan.every)


def _number(training: Progress, before: Clock) -> str:
    clock = training.clock
    if training.save_plan.unit == "epochs" and clock.epoch > before.epoch:
        return f"epoch{clock.epoch}"
    return f"step{clock.step}"
