"""What stands around a loop of one's own while it runs: journal, log, display, status, saving and signals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from holdfast import durable
from holdfast.checkpoint.store import Store
from holdfast.config import flatten
from holdfast.engine.interruption import Interruption
from holdfast.engine.own_state import OwnProgress, capture
from holdfast.engine.saving import Saver
from holdfast.engine.status import StatusKeeper
from holdfast.engine.tracked import Tracked
from holdfast.errors import Interrupted
from holdfast.run.display import Display
from holdfast.run.folder import RunFolder
from holdfast.run.journal import Journal
from holdfast.run.observer import EpochReport, Observer, StepReport
from holdfast.run.train_log import TrainLog


class Session:
    """One process's part of a run, from the beginning of its loop to the end.

    Args:
        folder: The run.
        store: Its checkpoints.
        progress: How far the loop is.
        tracked: What is saved with it.
        values: The configuration.
        position: Where the curves end, as the checkpoint has it; None for a run that begins.
    """

    def __init__(
        self,
        folder: RunFolder,
        store: Store,
        progress: OwnProgress,
        tracked: Tracked,
        *,
        values: Mapping[str, Any],
        position: Mapping[str, Any] | None,
    ) -> None:
        self._folder, self._store, self._progress, self._values = folder, store, progress, values
        self._open = ExitStack()
        logging, logs, total, name = (
            values["own_loop"],
            folder.logs("train"),
            progress.plan.epochs,
            progress.goal.monitor,
        )
        self._journal = Journal(
            logs, tensorboard=logging["tensorboard"], log_interval=logging["log_interval"], position=position
        )
        self._open.callback(self._journal.close)
        self._display = self._open.enter_context(
            Display(total_epochs=total, total_steps=None, steps_per_epoch=None, best_name=name, start=progress.clock)
        )
        self._log = TrainLog(logs, total_epochs=total, best_name=name)
        self._status = StatusKeeper(folder, progress)
        self._observers: Sequence[Observer] = (self._journal, self._log, self._display, self._status)
        self._saver = Saver(
            store,
            lambda progress: capture(progress, tracked, config=values, journal=self._journal.position()),
            tell=self.tell,
        )
        self._settled = progress.clock
        self._told: set[str] = set()
        self._interruption = self._open.enter_context(Interruption())
        self._log.say(f"{'starting' if position is None else 'going on'} at step {progress.clock.step}: {folder.path}")
        self._status.write("running")

    @property
    def failed_saves(self) -> int:
        """How many saves have failed."""
        return self._saver.failures

    def tell(self, line: str) -> None:
        """Says something to the person in front of it, and to the log."""
        self._display.say(line)
        self._log.say(line)

    def tell_once(self, line: str) -> None:
        """Says something that does not change, the first time."""
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def after_step(self, report: StepReport) -> None:
        """Tells the observers of a step."""
        for observer in self._observers:
            observer.after_step(report)

    def after_epoch(self, report: EpochReport) -> None:
        """Tells the observers of an epoch."""
        for observer in self._observers:
            observer.after_epoch(report, {})

    def settle(self) -> None:
        """Saves what has become due; the state must be one from which the run can go on."""
        self._saver.save_when_due(self._progress, self._settled)
        self._settled = self._progress.clock

    def check(self, *, can_save: bool) -> None:
        """Raises `Interrupted` after a signal, with a checkpoint where the state is one to go on from."""
        if self._progress.is_over:
            return
        try:
            self._interruption.check()
        except Interrupted:
            if can_save:
                self._saver.save(self._progress)
            raise

    def note_not_finite(self, step: int, message: str, samples: Sequence[int] | None) -> str:
        """Writes the samples of a failed step beside the checkpoints and gives the message for a person."""
        place = self._folder.checkpoints("train")
        note = {"step": step, "message": message, "epoch": self._progress.clock.epoch + 1, "samples": samples}
        durable.make_folder(place)
        durable.write_file(place / f"nonfinite_step{step}.json", json.dumps(note, indent=4) + "\n")
        last = self._store.latest() or "not there yet"
        return f"{message}; the last good checkpoint is {last}; mend it (a lower rate?), then the same command again"

    def finish(self) -> None:
        """Writes down that every epoch is done, and closes everything."""
        record, clock = self._progress.record, self._progress.clock
        self._journal.finish(flatten(self._values), record.metrics)
        best = "" if record.best_metric is None else f"; best {self._progress.goal.monitor} {record.best_metric:.6g}"
        self.tell(f"finished: {clock.epoch} epochs, {clock.step} steps{best}\n{self._folder.path}")
        self._status.write("finished")
        self._open.close()

    def leave(self, error: BaseException | None) -> None:
        """Writes down that the loop has not come to its end, and why, and closes everything."""
        clock, plan = self._progress.clock, self._progress.plan
        message = f"the program ended after {clock.epoch} of {plan.epochs} epochs"
        if isinstance(error, Interrupted):
            message = str(error)
            self._display.say(f"{message} at step {clock.step}; to go on: the same command again")
        elif error is not None:
            message = f"{type(error).__name__}: {error}"
        was_stopped = error is None or isinstance(error, Interrupted | SystemExit | KeyboardInterrupt)
        self._status.write("interrupted" if was_stopped else "failed", message)
        self._log.say(f"left at step {clock.step}: {message}")
        self._open.close()
