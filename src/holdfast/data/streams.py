"""Batches of data that can only be read in its own order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from typing import Any

from torch.utils.data import IterableDataset, default_collate

from holdfast.data.batches import Microbatch, StepBatch
from holdfast.errors import DataError
from holdfast.randomness import Keys, seed_all


class StreamBatches:
    """Like `Batches` for an iterable data set: read in this process, in the order that it has.

    A data set with `state_dict` and `load_state_dict` goes on where the last finished step left it, so resuming is
    exact. One without begins anew on resume: nothing can know what it would have given.

    Args:
        dataset: What is read; begun again when it ends.
        collate: How samples become a batch; None means torch's default.
        length: Samples per epoch.
        batch_size: Samples per step, accumulation included.
        accumulation: Microbatches per step.
        keys: The keys by which the global generators are set before each sample.
    """

    def __init__(
        self,
        dataset: IterableDataset[Any],
        collate: Callable[[list[Any]], Any] | None,
        *,
        length: int,
        batch_size: int,
        accumulation: int,
        keys: Keys,
    ) -> None:
        self._dataset = dataset
        self._collate = collate or default_collate
        self._batch_size = batch_size
        self._microbatch_size = batch_size // accumulation
        self._keys = keys
        self.num_samples = length
        self.steps_per_epoch = -(-length // batch_size)

    @property
    def is_exact(self) -> bool:
        """Whether the data set can say where it is."""
        return hasattr(self._dataset, "state_dict") and hasattr(self._dataset, "load_state_dict")

    def plan(self, step: int) -> list[Microbatch]:
        """Gives nothing: what a stream will give is not known before."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Gives where the data set is; empty for one that cannot say."""
        return {"dataset": self._dataset.state_dict()} if self.is_exact else {}  # pyright: ignore[reportAttributeAccessIssue]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Brings the data set to where it was."""
        if "dataset" in state:
            self._dataset.load_state_dict(state["dataset"])  # pyright: ignore[reportAttributeAccessIssue]

    @contextmanager
    def from_step(self, step: int) -> Iterator[Iterator[StepBatch]]:
        """Opens the endless stream of batches; it goes on where the data set is."""
        yield self._stream(step)

    def _stream(self, first: int) -> Iterator[StepBatch]:
        samples = self._samples()
        for step in count(first):
            position = step % self.steps_per_epoch * self._batch_size
            wanted = min(self._batch_size, self.num_samples - position)
            seed_all(self._keys(step))
            taken = list(islice(samples, wanted))
            parts = range(0, wanted, self._microbatch_size)
            yield StepBatch([self._collate(taken[at : at + self._microbatch_size]) for at in parts], wanted)

    def _samples(self) -> Iterator[Any]:
        empty_passes = 0
        while True:
            empty_passes += 1
            for sample in self._dataset:
                empty_passes = 0
                yield sample
            # One pass may be empty: a data set that was brought back to its very end.
            if empty_passes == 2:
                raise DataError("the training data must give at least one sample, but got none; look at `data.path`.")
