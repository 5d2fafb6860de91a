"""The course of a loop of one's own: where it begins, what is put back where, each step, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from holdfast.checkpoint.store import Store
from holdfast.data.batches import worker_death
from holdfast.engine.ending import Ending
from holdfast.engine.own_batches import Source
from holdfast.engine.own_epoch import check_epoch, close_epoch
from holdfast.engine.own_reading import Reading
from holdfast.engine.own_state import OwnProgress
from holdfast.engine.own_watch import Watch
from holdfast.engine.session import Session
from holdfast.engine.status import StatusKeeper
from holdfast.engine.tracked import Tracked
from holdfast.engine.training import Plan
from holdfast.errors import CheckpointMismatch, Interrupted, NonFiniteLoss, UserError
from holdfast.run.folder import RunFolder
from holdfast.run.observer import StepReport

Found = tuple[Path, dict[str, Any]]
"""A checkpoint and its state."""

_OWN_LOADER = (
    "this loop reads from a loader of its own: a run that is stopped goes on at the beginning of the interrupted "
    "epoch, and what the loader draws is its own business (the same again when it follows torch's global generator, "
    "as a DataLoader with shuffle=True does, but not with persistent workers); run.batches goes on with the next sample"
)


class Course:
    """What happens around the lines of a loop.

    Args:
        folder: The run.
        store: Its checkpoints.
        progress: How far the loop is.
        values: The configuration.
        found: The state from which the run goes on; None for one that begins.
        ending: How the program ends.
    """

    def __init__(
        self,
        folder: RunFolder,
        store: Store,
        progress: OwnProgress,
        *,
        values: Mapping[str, Any],
        found: Found | None,
        ending: Ending,
    ) -> None:
        self.folder, self.progress = folder, progress
        self.seed: int = values["seed"]
        self._store, self._values, self._found, self._ending = store, values, found, ending
        self._tracked = Tracked()
        self._watch = Watch()
        self._reading = Reading(progress, self.seed, keeps_batches=self._watch.is_on)
        self._session: Session | None = None
        self._is_in_epoch = False
        ending.on_end(self._end)

    @property
    def has_begun(self) -> bool:
        """Whether the loop over the epochs has begun."""
        return self.progress.plan.epochs != 0

    def check_place(self, what: str) -> Session:
        """Gives the session, once it is sure that the call of `run.WHAT` comes from within an epoch.

        Raises:
            UserError: When it comes from elsewhere, or the run is closed.
        """
        self._ending.check_open()
        if self._session is None or not self._is_in_epoch:
            raise UserError(
                f"`run.{what}` must be called in the loop over run.epochs, but got it outside; move it inside."
            )
        return self._session

    def track(self, name: str, part: Any) -> None:
        """Keeps a part in the checkpoints, and restores it when the run is continued."""
        self._tracked.add(name, part)
        if self._found:
            self._tracked.restore(name, self._found[1])

    def begin(self, total: int) -> None:
        """Makes sure that the run can go on and be saved, and begins this process's part of it."""
        progress, found = self.progress, self._found
        if found:
            self._tracked.check_complete(found[1])
        self._tracked.check_plain()
        progress.plan = Plan(steps_per_epoch=0, epochs=total, steps=None)
        self._watch.begin(progress.clock.step, self._tracked)
        if progress.is_over:
            # A kill may have come between the last checkpoint and this word.
            StatusKeeper(self.folder, progress).write("finished")
            done = progress.clock.epoch
            print(
                f"{self.folder.path} is complete: {done} of {total} epochs are done; to extend it, ask for more epochs"
            )
            return
        position = found[1]["history"]["journal"] if found else None
        self._session = Session(
            self.folder, self._store, progress, self._tracked, values=self._values, position=position
        )

    def begin_epoch(self) -> None:
        """Begins an epoch, or goes on with the one in progress."""
        self._is_in_epoch = True
        if self.progress.batches_done == 0:
            self._put_back()
        self._reading.begin_epoch()

    def draws(self, source: Source) -> Iterator[Any]:
        """Gives what is left of the epoch, saving before each further batch what the last one has made due."""
        session, reading = self.check_place("batches"), self._reading
        for line in reading.begin(source):
            session.tell_once(line)
        self._put_back()
        with closing(reading.batches()) as batches:
            for batch in batches:
                self.progress.record.rate = self._tracked.rate()
                yield batch
                if not reading.drawn:
                    session.settle()
                    self._leave_if_asked(session, can_save=True)

    def step(self, loss: float, samples: int | None, parts: Mapping[str, float]) -> None:
        """Counts an optimizer step and tells the observers.

        Raises:
            NonFiniteLoss: When the loss is infinite or not a number.
        """
        session, reading, progress = self.check_place("step"), self._reading, self.progress
        record = progress.record
        if reading.is_own:
            self._check_own_loader(session)
            record.rate = self._tracked.rate()
        count = reading.drawn_samples if samples is None else samples
        clock = progress.clock.after_step(count)
        if not math.isfinite(loss):
            said = "".join(f", {name} {part:g}" for name, part in parts.items())
            message = f"the loss of step {clock.step} must be finite, but got {loss:g}{said}"
            raise NonFiniteLoss(session.note_not_finite(clock.step, message, reading.indices()))
        weight = float(count or 1)
        record.tally.add(loss * weight, weight, parts)
        record.metric = None
        progress.clock = clock
        session.after_step(
            StepReport(clock=clock, samples=count, weight=weight, loss=loss, parts=parts, rate=record.rate)
        )
        if self._watch.is_on:
            self._watch.after_step(clock.step, loss, reading, self._tracked)
        reading.use()
        if reading.is_own:
            self._leave_if_asked(session, can_save=False)

    def close_epoch(self) -> None:
        """Counts the epoch, tells the observers and saves."""
        session = self.check_place("epochs")
        for line in check_epoch(self.progress, left_over=len(self._reading.drawn)):
            session.tell_once(line)
        report = close_epoch(self.progress)
        self._reading.end_epoch()
        self._is_in_epoch = False
        session.after_epoch(report)
        session.settle()
        self._leave_if_asked(session, can_save=False)

    def finish(self) -> None:
        """Writes down that every epoch is done."""
        if self._session:
            self._session.finish()

    def _put_back(self) -> None:
        """Restores, at the place where it was taken, the state from which the run goes on."""
        if self._found:
            self._tracked.restore_all(self._found[1])
            self._found = None

    def _check_own_loader(self, session: Session) -> None:
        if self._found:
            raise CheckpointMismatch(
                "`run.batches` must give the batches, as it did when the checkpoint was saved in the middle of an "
                "epoch, but got a step without it; read from run.batches again."
            )
        session.tell_once(_OWN_LOADER)

    def _leave_if_asked(self, session: Session, *, can_save: bool) -> None:
        """Ends the program after a signal."""
        try:
            session.check(can_save=can_save)
        except Interrupted as interrupted:
            self._ending.end(interrupted)
            raise SystemExit(interrupted.exit_code) from None

    def _end(self, error: BaseException | None) -> int:
        """Writes down how it ended and gives how many saves have failed."""
        if self._session is None:
            if error is not None and self._found is None and not self.has_begun:
                StatusKeeper(self.folder, self.progress).write("failed", f"{type(error).__name__}: {error}")
            return 0
        if not self.progress.is_over or self._is_in_epoch:
            self._session.leave((worker_death(error) or error) if error else None)
        return self._session.failed_saves
