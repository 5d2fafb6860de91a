"""Drawing batches in a loop of one's own: one by one, each with generators of its own, noting what no step has used."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from holdfast.engine.own_batches import Source, check_facts
from holdfast.engine.own_state import OwnProgress
from holdfast.engine.own_stream import Streamed
from holdfast.engine.tracked import check_plain
from holdfast.errors import UserError
from holdfast.randomness import Keys, seed_all

_NOT_EXACT = (
    "not exact: the training data can only be iterated and cannot say where it is, so a run that is stopped reads it "
    "from its beginning again; give it `state_dict` and `load_state_dict`, or __getitem__ and __len__"
)
_FROM_ITS_BEGINNING = (
    "the checkpoint does not say where the training data was: what is left of this epoch is read from its beginning"
)


class Reading:
    """The batches of the epoch in progress.

    The global generators are set from the seed and the clock before each epoch, before each batch and after the last
    one: nothing that a loop draws depends on what was drawn before.

    Args:
        progress: How far the loop is.
        seed: The seed of the run.
        keeps_batches: Whether somebody wants to see the batches of a step that is done.
    """

    def __init__(self, progress: OwnProgress, seed: int, *, keeps_batches: bool) -> None:
        self._progress = progress
        self._keeps_batches = keeps_batches
        self._source: Source | None = None
        self._noise, self._between = Keys(seed, "train", "noise"), Keys(seed, "train", "between batches")
        self.drawn: list[Any] = []
        """The batches that no step has used yet; each is None where nobody wants to see them."""
        self.drawn_samples = 0

    @property
    def is_own(self) -> bool:
        """Whether this epoch reads from a loader of the user's own, so far."""
        return self._source is None

    def begin_epoch(self) -> None:
        """Sets the generators for what comes before the first batch."""
        seed_all(self._between(self._progress.clock.epoch, 0))

    def begin(self, source: Source) -> list[str]:
        """Makes sure that the epoch can be read from this source; gives what a person should know before.

        Raises:
            UserError: When it is being read already, or is a stream that cannot be saved.
            CheckpointMismatch: When the order of the samples would not be that with which the run began.
        """
        if self._source is not None:
            raise UserError(
                "`run.batches` must be read once in each epoch, for training, but got it again; "
                "use a DataLoader of your own for the rest."
            )
        check_facts(source.facts, self._progress.data)
        lines = self._begin_stream(source) if isinstance(source, Streamed) else []
        self._source, self._progress.data = source, dict(source.facts)
        return lines

    def batches(self) -> Generator[Any, None, None]:
        """Gives what is left of the epoch."""
        assert self._source is not None
        progress = self._progress
        with self._source.open(progress.clock.epoch, progress.batches_done) as stream:
            for batch in stream:
                self.drawn.append(batch.microbatches[0] if self._keeps_batches else None)
                self.drawn_samples += batch.samples
                seed_all(self._noise(progress.clock.step, len(self.drawn) - 1))
                yield batch.microbatches[0]
        seed_all(self._between(progress.clock.epoch, 1))

    def indices(self) -> list[int] | None:
        """Gives the samples since the last step; None when nobody knows them."""
        if self._source is None:
            return None
        return self._source.indices(self._progress.clock.epoch, self._progress.batches_done, len(self.drawn))

    def use(self) -> None:
        """Counts what was drawn as used by the step that was just counted."""
        self._progress.batches_done += len(self.drawn)
        self._forget()
        if self._source is None:
            seed_all(self._noise(self._progress.clock.step, 0))

    def end_epoch(self) -> None:
        """Lets the next epoch be read."""
        self._source = None
        self._forget()

    def _begin_stream(self, source: Streamed) -> list[str]:
        """Brings a stream to where it was."""
        progress, is_known = self._progress, True
        if progress.stream is not None:
            source.follow(progress.stream)
        else:
            check_plain("the training data", {"data_state": source.stream.state_dict()})
            is_known = source.go_on(progress.place, done=progress.batches_done)
        progress.stream = source
        return ([] if source.stream.is_exact else [_NOT_EXACT]) + ([] if is_known else [_FROM_ITS_BEGINNING])

    def _forget(self) -> None:
        self.drawn, self.drawn_samples = [], 0
