"""The batches of a loop of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from holdfast.data.batches import Batches, Composer, StepBatch
from holdfast.data.order import ORDER_VERSION, Order
from holdfast.engine.own_stream import Streamed
from holdfast.errors import CheckpointMismatch, DataError, UserError
from holdfast.randomness import Keys

Collate = Callable[[list[Any]], Any]

_INDEXED = "indexed by number"
_SPOKEN = {"kind": "the kind of training data", "length": "the length of the training data"}


class OwnBatches:
    """Like a `DataLoader` that begins at the next sample of the epoch in progress; read it once in each epoch.

    Its `len` is that of a whole epoch, where the data set has one.
    """

    def __init__(self, source: Source, draw: Callable[[Indexed | Streamed], Iterator[Any]]) -> None:
        self._source = source
        self._draw = draw

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Any]:
        return self._draw(self._source)


class Indexed:
    """A data set with a length that is indexed by number: read in an order of its own in each epoch, from anywhere."""

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Collate | None,
        seed: int,
        *,
        batch_size: int,
        workers: int,
        shuffle: bool,
    ) -> None:
        length = len(dataset)  # pyright: ignore[reportArgumentType]
        if length == 0:
            raise DataError(
                "the training data must hold at least one sample, but got none; look at where it is read from."
            )
        order = Order(length, Keys(seed, "train", "order") if shuffle else None)
        composer = Composer(dataset, collate, seed, "train")
        self._batches = Batches(composer, order, batch_size=batch_size, workers=workers)
        self.facts: Mapping[str, Any] = {
            "kind": _INDEXED,
            "length": length,
            "batch_size": batch_size,
            "shuffle": shuffle,
            "order_version": ORDER_VERSION,
        }
        """What the order of the samples depends on, the seed aside."""

    def __len__(self) -> int:
        return self._batches.steps_per_epoch

    @contextmanager
    def open(self, epoch: int, done: int) -> Iterator[Iterator[StepBatch]]:
        """Opens what is left of an epoch; nothing that was read before is read again."""
        with self._batches.from_step(epoch * len(self) + done) as stream:
            yield islice(stream, len(self) - done)

    def indices(self, epoch: int, first: int, count: int) -> list[int]:
        """Gives the samples of some batches of an epoch."""
        steps = range(epoch * len(self) + first, epoch * len(self) + first + count)
        return [index for step in steps for index in self._batches.plan(step)[0].indices]


Source = Indexed | Streamed
"""What the batches of an epoch are read from."""


def source_of(
    dataset: Any, collate: Collate | None, seed: int, *, batch_size: int, workers: int, shuffle: bool | None
) -> Source:
    """Gives what to read batches of this data set from.

    Raises:
        DataError: When it is no data set.
        UserError: When it cannot be read like this.
    """
    if isinstance(dataset, DataLoader):
        raise DataError(
            "the training data must be a data set, but got a DataLoader, which makes batches itself; "
            "give run.batches its data set, or loop over it without run.batches."
        )
    _check_count("batch_size", batch_size, least=1)
    _check_count("workers", workers, least=0)
    if _is_indexed(dataset):
        is_shuffled = shuffle is not False
        return Indexed(dataset, collate, seed, batch_size=batch_size, workers=workers, shuffle=is_shuffled)
    if not hasattr(dataset, "__iter__"):
        raise DataError(
            "the training data must have __len__ and __getitem__, or __iter__ and best a state_dict, but got "
            f"{type(dataset).__name__}; give it these, or loop over a DataLoader of your own."
        )
    if workers:
        raise UserError(
            f"`workers` must be 0 for training data that can only be iterated, but got {workers}: each would read the "
            "whole of it, and none could say where it is; leave it out."
        )
    if shuffle:
        raise UserError(
            "`shuffle` must be left out for training data that can only be iterated, but got True: it comes in an "
            "order of its own; let it shuffle itself, and keep what that remembers in its state_dict."
        )
    return Streamed(dataset, collate, seed, batch_size=batch_size)


def _is_indexed(dataset: Any) -> bool:
    # Every torch data set has a __getitem__, which an iterable one may use for something else.
    return not isinstance(dataset, IterableDataset) and all(hasattr(dataset, n) for n in ("__len__", "__getitem__"))


def _check_count(name: str, value: int, *, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise UserError(f"`{name}` must be a whole number from {least} on, but got {value!r}.")


def check_facts(ours: Mapping[str, Any], saved: Mapping[str, Any] | None) -> None:
    """Makes sure that the order of the samples is the one with which the run began.

    Raises:
        CheckpointMismatch: Naming the first fact that differs, with both values.
    """
    for name, value in ({"kind": _INDEXED, **saved} if saved else {}).items():
        if ours[name] != value:
            what = _SPOKEN.get(name, f"`{name}`")
            raise CheckpointMismatch(
                f"{what} must stay {value!r} in this run, but got {ours[name]!r}; "
                "bring it back, or begin a new run in another folder."
            )
