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

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from holdfast.clock import Clock
from holdfast.engine.ending import Ending
from holdfast.engine.own_batches import Collate, OwnBatches, source_of
from holdfast.engine.own_course import Course
from holdfast.engine.own_epoch import curve_name
from holdfast.errors import UserError

Number = float | Tensor


class OwnLoop:
    """A run whose loop is your own; made by `holdfast.open_run`.

    Usable as a context manager; without one it is closed when the program ends.
    """

    def __init__(self, course: Course, ending: Ending) -> None:
        self._course = course
        self._ending = ending

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._course.folder.path

    @property
    def clock(self) -> Clock:
        """How much is done."""
        return self._course.progress.clock

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
        if self._course.has_begun:
            raise UserError("`run.track` must come before the loop over run.epochs, but got it later; move it up.")
        for name, part in parts.items():
            self._course.track(name, part)

    def epochs(self, total: int) -> Iterator[int]:
        """Gives the numbers of the epochs that are left, counted from 1 to `total`, the one in progress first.

        An epoch is closed, with its point on the curves and its checkpoint, when the loop asks for the next one. One
        that is left by `break` stays open and is done again; `run.stop()` ends the loop for good.

        Args:
            total: How many epochs the run has; more than before extends it.
        """
        self._ending.check_open()
        if self._course.has_begun:
            raise UserError("`run.epochs` must be looped over once, but got it again; make it one loop.")
        if isinstance(total, bool) or not isinstance(total, int) or total < 1:
            raise UserError(f"`run.epochs` must be given a whole number from 1 on, but got {total!r}.")
        self._course.begin(total)
        while not self._course.progress.is_over:
            self._course.begin_epoch()
            yield self.clock.epoch + 1
            self._course.close_epoch()
        self._course.finish()

    def batches(
        self,
        dataset: Dataset[Any] | Iterable[Any],
        *,
        batch_size: int,
        workers: int = 0,
        shuffle: bool | None = None,
        collate: Collate | None = None,
    ) -> OwnBatches:
        """Gives the batches of the epoch that are left; its `len` is that of a whole epoch.

        Order, augmentation (in any ordinary data set) and dropout follow from the seed and the position alone.

        A data set that can only be iterated gives one pass in each epoch. It goes on where it was when it has
        `state_dict` and `load_state_dict`, and what it draws from the global generators follows from the seed and the
        number of the batch. Its state must hold all that it remembers (its order, if it shuffles), count the sample
        that it has just given (so count before `yield`), and tell the end of a pass from its beginning. One without a
        state cannot be exact, which is said before the first batch. An endless one is left by `break` when `run.clock`
        says so: the clock comes back, while a counter of your own begins anew.

        Args:
            dataset: Has a length and is indexed by number, or can be iterated.
            batch_size: Samples per batch.
            workers: Processes that fetch samples; their number changes nothing. None for data that is iterated.
            shuffle: Whether each epoch has another order; by default it has, but for data that is iterated.
            collate: How samples become a batch; None means torch's default.

        Raises:
            DataError: When the data set is neither.
        """
        seed = self._course.seed
        source = source_of(dataset, collate, seed, batch_size=batch_size, workers=workers, shuffle=shuffle)
        return OwnBatches(source, self._course.draws)

    def step(self, *, loss: Number, samples: int | None = None, **parts: Number) -> None:
        """Counts one optimizer step; call it after `optimizer.step()`, once for each.

        Args:
            loss: The mean loss of the step.
            samples: How many samples it used, where a loader of your own gave them.
            parts: More numbers for the curves, by name, each a mean over the step.

        Raises:
            NonFiniteLoss: When the loss is infinite or not a number; the last good checkpoint stands.
        """
        self._course.step(_number(loss), samples, {name: _number(part) for name, part in parts.items()})

    def record(self, **values: Number) -> None:
        """Notes what was measured in this epoch: `val_acc` becomes the curve `Val/acc`, `train_acc` `Train/acc`.

        The monitored one decides on the best when the epoch is closed.
        """
        self._course.check_place("record")
        self._course.progress.recorded |= {curve_name(name): _number(value) for name, value in values.items()}

    def stop(self) -> None:
        """Makes this epoch the last one, for good: the same command again has nothing to do."""
        self._course.check_place("stop")
        self._course.progress.stopped_at = self._course.progress.plan.epochs

    def close(self) -> None:
        """Closes the run, as `with` and the end of the program do."""
        self._ending.end()

    def __enter__(self) -> OwnLoop:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._ending.end(error)


def _number(value: Number) -> float:
    return float(value.item()) if isinstance(value, Tensor) else float(value)
