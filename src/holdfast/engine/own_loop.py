"""A loop of one's own, made exact: what `holdfast.open_run` gives.

    run.track(model=model, optimizer=optimizer)
    for epoch in run.epochs(10):                                # goes on with the epoch in progress
        for batch in run.batches(train_set, batch_size=64):     # goes on with the next sample
            ...                                                 # forward, backward, optimizer.step()
            run.step(loss=loss)
        run.record(val_acc=accuracy)

A state is saved where the loop asks for its next batch or its next epoch, and put back at that very place, so it does
not matter on which side of `run.step` a scheduler steps. The global generators are set from the seed and the clock
before each batch, each epoch and after the last batch: nothing that the loop draws depends on what was drawn before.

What is not restored is what nobody tracks: sums that the loop keeps in variables of its own over an epoch (hand them to
`run.step`, whose means are restored), and gradients that are carried from one epoch into the next.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from holdfast.checkpoint.store import Store
from holdfast.clock import Clock
from holdfast.data.batches import worker_death
from holdfast.engine.ending import Ending
from holdfast.engine.own_batches import Collate, OwnBatches
from holdfast.engine.own_state import OwnProgress
from holdfast.engine.session import Session
from holdfast.engine.status import StatusKeeper
from holdfast.engine.trace import KILL_AFTER_STEP, kill_after_step, open_trace
from holdfast.engine.tracked import Tracked
from holdfast.engine.training import Plan
from holdfast.engine.update import Tally
from holdfast.errors import CheckpointMismatch, Interrupted, NonFiniteLoss, UserError
from holdfast.randomness import Keys, seed_all
from holdfast.run.folder import RunFolder
from holdfast.run.observer import EpochReport, StepReport

Number = float | Tensor
Found = tuple[Path, dict[str, Any]]

_OWN_LOADER = (
    "this loop reads from a loader of its own: a run that is stopped goes on at the beginning of the interrupted "
    "epoch, and what the loader draws is its own business (the same again when it follows torch's global generator, "
    "as a DataLoader with shuffle=True does, but not with persistent workers); run.batches goes on with the next sample"
)


class OwnLoop:
    """A run whose loop is your own; made by `holdfast.open_run`.

    Usable as a context manager; without one it is closed when the program ends.
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
        self._folder, self._store, self._progress, self._values = folder, store, progress, values
        self._found = found
        self._ending = ending
        self._tracked = Tracked()
        self._session: Session | None = None
        self._trace = open_trace()
        self._is_watched = self._trace is not None or KILL_AFTER_STEP in os.environ
        self._is_in_epoch = False
        self._pass: OwnBatches | None = None
        self._drawn: list[Any] = []
        self._drawn_samples = 0
        self._told: set[str] = set()
        seed = values["seed"]
        self._noise, self._between = Keys(seed, "train", "noise"), Keys(seed, "train", "between batches")
        ending.on_end(self._end)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._folder.path

    @property
    def clock(self) -> Clock:
        """How much is done."""
        return self._progress.clock

    def track(self, **parts: Any) -> None:
        """Keeps parts in the checkpoints, NAME as `NAME_state_dict`; restores them at once when the run is continued.

        An optimizer and a scheduler come back as they were saved, rates and other settings included.

        Args:
            parts: Anything with `state_dict` and `load_state_dict`, by name.

        Raises:
            UserError: When a part has no state, or the loop has begun.
            CheckpointMismatch: When a part is not in the checkpoint, or does not fit.
        """
        self._ending.check_open()
        if self._progress.plan.epochs:
            raise UserError("`run.track` must come before the loop over run.epochs, but got it later; move it up.")
        for name, part in parts.items():
            self._tracked.add(name, part)
            if self._found:
                self._tracked.restore(name, self._found[1])

    def epochs(self, total: int) -> Iterator[int]:
        """Gives the numbers of the epochs that are left, counted from 1 to `total`, the one in progress first.

        An epoch is closed, with its point on the curves and its checkpoint, when the loop asks for the next one. One
        that is left by `break` stays open and is done again; `run.stop()` ends the loop for good.

        Args:
            total: How many epochs the run has; more than before extends it.
        """
        self._begin(total)
        while not self._progress.is_over:
            self._is_in_epoch = True
            if self._progress.batches_done == 0:
                self._put_back()
            seed_all(self._between(self.clock.epoch, 0))
            yield self.clock.epoch + 1
            self._close_epoch()
        if self._session:
            self._session.finish()

    def batches(
        self,
        dataset: Dataset[Any],
        *,
        batch_size: int,
        workers: int = 0,
        shuffle: bool = True,
        collate: Collate | None = None,
    ) -> OwnBatches:
        """Gives the batches of the epoch that are left; its `len` is that of a whole epoch.

        Order, augmentation (in any ordinary data set) and dropout follow from the seed and the position alone.

        Args:
            dataset: Has a length and is indexed by number.
            batch_size: Samples per batch.
            workers: Processes that fetch samples; their number changes nothing.
            shuffle: Whether each epoch has another order.
            collate: How samples become a batch; None means torch's default.
        """
        seed = self._values["seed"]
        return OwnBatches(
            dataset, collate, seed, batch_size=batch_size, workers=workers, shuffle=shuffle, draw=self._draws
        )

    def step(self, *, loss: Number, samples: int | None = None, **parts: Number) -> None:
        """Counts one optimizer step; call it after `optimizer.step()`, once for each.

        Args:
            loss: The mean loss of the step.
            samples: How many samples it used, where a loader of your own gave them.
            parts: More numbers for the curves, by name, each a mean over the step.

        Raises:
            NonFiniteLoss: When the loss is infinite or not a number; the last good checkpoint stands.
        """
        session, progress, record = self._here("step"), self._progress, self._progress.record
        if self._pass is None:
            self._check_own_loader()
            record.rate = self._tracked.rate()
        value, named = _number(loss), {name: _number(part) for name, part in parts.items()}
        count = self._drawn_samples if samples is None else samples
        clock = progress.clock.after_step(count)
        if not math.isfinite(value):
            said = "".join(f", {name} {part:g}" for name, part in named.items())
            message = f"the loss of step {clock.step} must be finite, but got {value:g}{said}"
            raise NonFiniteLoss(session.note_not_finite(clock.step, message, self._indices()))
        weight = float(count or 1)
        record.tally.add(value * weight, weight, named)
        record.metric = None
        progress.clock = clock
        session.after_step(
            StepReport(clock=clock, samples=count, weight=weight, loss=value, parts=named, rate=record.rate)
        )
        if self._is_watched:
            self._note_trace(clock.step, value)
        progress.batches_done += len(self._drawn)
        self._drawn, self._drawn_samples = [], 0
        if self._pass is None:
            seed_all(self._noise(clock.step, 0))
            self._leave_if_asked(can_save=False)

    def record(self, **values: Number) -> None:
        """Notes what was measured in this epoch: `val_acc` becomes the curve `Val/acc`, `train_acc` `Train/acc`.

        The monitored one decides on the best when the epoch is closed.
        """
        self._here("record")
        self._progress.recorded |= {curve_name(name): _number(value) for name, value in values.items()}

    def stop(self) -> None:
        """Makes this epoch the last one, for good: the same command again has nothing to do."""
        self._here("stop")
        self._progress.stopped_at = self._progress.plan.epochs

    def close(self) -> None:
        """Closes the run, as `with` and the end of the program do."""
        self._ending.end()

    def __enter__(self) -> OwnLoop:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._ending.end(error)

    def _here(self, what: str) -> Session:
        """Gives the session, once it is sure that the call comes from within an epoch."""
        self._ending.check_open()
        if self._session is None or not self._is_in_epoch:
            raise UserError(
                f"`run.{what}` must be called in the loop over run.epochs, but got it outside; move it inside."
            )
        return self._session

    def _begin(self, total: int) -> None:
        self._ending.check_open()
        if self._progress.plan.epochs:
            raise UserError("`run.epochs` must be looped over once, but got it again; make it one loop.")
        if isinstance(total, bool) or not isinstance(total, int) or total < 1:
            raise UserError(f"`run.epochs` must be given a whole number from 1 on, but got {total!r}.")
        progress, found = self._progress, self._found
        if found:
            self._tracked.check_complete(found[1])
        self._tracked.check_plain()
        progress.plan = Plan(steps_per_epoch=0, epochs=total, steps=None)
        if self._trace:
            self._trace.begin(step=self.clock.step, model=self._tracked.model(), parts=self._tracked.beside_model())
        if progress.is_over:
            # A kill may have come between the last checkpoint and this word.
            StatusKeeper(self._folder, progress).write("finished")
            done = self.clock.epoch
            print(f"{self.path} is complete: {done} of {total} epochs are done; to extend it, ask for more epochs")
            return
        position = found[1]["history"]["journal"] if found else None
        self._session = Session(
            self._folder, self._store, progress, self._tracked, values=self._values, position=position
        )

    def _put_back(self) -> None:
        """Restores, at the place where it was taken, the state from which the run goes on."""
        if self._found:
            self._tracked.restore_all(self._found[1])
            self._found = None

    def _draws(self, source: OwnBatches) -> Iterator[Any]:
        """Gives what is left of the epoch, saving before each further batch what the last one has made due."""
        session, progress, batches = self._here("batches"), self._progress, source.batches
        if self._pass is not None:
            raise UserError(
                "`run.batches` must be read once in each epoch, for training, but got it again; "
                "use a DataLoader of your own for the rest."
            )
        source.check_order(progress.data)
        self._pass, progress.data = source, source.facts
        self._put_back()
        first = self.clock.epoch * batches.steps_per_epoch + progress.batches_done
        with batches.from_step(first) as stream:
            for _ in range(progress.batches_done, batches.steps_per_epoch):
                batch = next(stream)
                self._drawn.append(batch.microbatches[0] if self._trace else None)
                self._drawn_samples += batch.samples
                progress.record.rate = self._tracked.rate()
                seed_all(self._noise(self.clock.step, len(self._drawn) - 1))
                yield batch.microbatches[0]
                if not self._drawn:
                    session.settle()
                    self._leave_if_asked(can_save=True)
        seed_all(self._between(self.clock.epoch, 1))

    def _leave_if_asked(self, *, can_save: bool) -> None:
        """Ends the program after a signal."""
        assert self._session is not None
        try:
            self._session.check(can_save=can_save)
        except Interrupted as interrupted:
            self._ending.end(interrupted)
            raise SystemExit(interrupted.exit_code) from None

    def _close_epoch(self) -> None:
        """Counts the epoch, decides on the best, tells the observers and saves."""
        session, progress, record = self._here("epochs"), self._progress, self._progress.record
        self._check_epoch(session)
        loss, parts = record.tally.means()
        named = {"train/Loss": loss, **{f"train/{name}": value for name, value in parts.items()}, **progress.recorded}
        record.metric = progress.goal.value_of(named)
        is_best = record.metric is not None and progress.goal.is_better(record.metric, record.best_metric)
        if is_best:
            record.best_metric, record.best_step = record.metric, self.clock.step
        record.metrics, record.closed_at, record.tally = named, self.clock.step, Tally()
        progress.clock = self.clock.after_epoch()
        progress.batches_done, progress.recorded = 0, {}
        self._is_in_epoch, self._pass = False, None
        session.after_epoch(
            EpochReport(
                clock=self.clock,
                rate=record.rate,
                train=_side(named, "train"),
                val=_side(named, "val"),
                is_best=is_best,
                best=record.best_metric,
            )
        )
        session.settle()
        self._leave_if_asked(can_save=False)

    def _check_epoch(self, session: Session) -> None:
        progress, monitor = self._progress, self._progress.goal.monitor
        if progress.record.tally.weight == 0:
            raise UserError(
                "`run.step` must be called after each optimizer step, but an epoch ended without one; add the call."
            )
        if self._drawn:
            self._tell_once(
                session,
                f"the last {len(self._drawn)} batches of the epoch belong to no step: gradients that are carried over "
                "the end of an epoch are not saved",
            )
            self._drawn, self._drawn_samples = [], 0
        recorded = [name.lower() for name in progress.recorded]
        if recorded and monitor.startswith("val/") and monitor.lower() not in recorded:
            self._tell_once(session, f"`monitor` is {monitor}, but this epoch recorded only {', '.join(recorded)}")

    def _check_own_loader(self) -> None:
        assert self._session is not None
        if self._found:
            raise CheckpointMismatch(
                "`run.batches` must give the batches, as it did when the checkpoint was saved in the middle of an "
                "epoch, but got a step without it; read from run.batches again."
            )
        self._tell_once(self._session, _OWN_LOADER)

    def _tell_once(self, session: Session, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            session.tell(line)

    def _indices(self) -> list[int] | None:
        """Gives the samples since the last step; None when a loader of one's own gave them."""
        if self._pass is None:
            return None
        batches = self._pass.batches
        first = self.clock.epoch * batches.steps_per_epoch + self._progress.batches_done
        return [index for step in range(first, first + len(self._drawn)) for index in batches.plan(step)[0].indices]

    def _note_trace(self, step: int, loss: float) -> None:
        if self._trace:
            self._trace.step(
                step=step,
                indices=self._indices(),
                batch=self._drawn[0] if len(self._drawn) == 1 else self._drawn,
                loss=loss,
                model=self._tracked.model(),
                parts=self._tracked.beside_model(),
            )
        kill_after_step(step)

    def _end(self, error: BaseException | None) -> int:
        """Writes down how it ended and gives how many saves have failed."""
        if self._session is None:
            if error is not None and self._found is None and not self._progress.plan.epochs:
                StatusKeeper(self._folder, self._progress).write("failed", f"{type(error).__name__}: {error}")
            return 0
        if not self._progress.is_over or self._is_in_epoch:
            self._session.leave((worker_death(error) or error) if error else None)
        return self._session.failed_saves


def curve_name(name: str) -> str:
    """Gives `val/acc` for `val_acc` and for `acc`, and `train/acc` for `train_acc`."""
    side, _, rest = name.replace("/", "_", 1).partition("_")
    if side not in ("train", "val") or not rest:
        side, rest = "val", name
    return f"{side}/{'Loss' if rest.lower() == 'loss' else rest}"


def _side(named: Mapping[str, float], side: str) -> dict[str, float]:
    return {name.removeprefix(f"{side}/"): value for name, value in named.items() if name.startswith(f"{side}/")}


def _number(value: Number) -> float:
    return float(value.item()) if isinstance(value, Tensor) else float(value)
