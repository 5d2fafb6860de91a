"""The batches of a loop of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset

from holdfast.data.batches import Batches, Composer
from holdfast.data.order import ORDER_VERSION, Order
from holdfast.errors import CheckpointMismatch, DataError, UserError
from holdfast.randomness import Keys

Collate = Callable[[list[Any]], Any]


class OwnBatches:
    """Like a `DataLoader` that begins at the next sample of the epoch in progress; read it once in each epoch."""

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Collate | None,
        seed: int,
        *,
        batch_size: int,
        workers: int,
        shuffle: bool,
        draw: Callable[[OwnBatches], Iterator[Any]],
    ) -> None:
        length = _length(dataset)
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
            if not isinstance(value, int) or value < least:
                raise UserError(f"`{name}` must be a whole number from {least} on, but got {value!r}.")
        order = Order(length, Keys(seed, "train", "order") if shuffle else None)
        composer = Composer(dataset, collate, seed, "train")
        self.batches = Batches(composer, order, batch_size=batch_size, workers=workers)
        self.facts = {"length": length, "batch_size": batch_size, "shuffle": shuffle, "order_version": ORDER_VERSION}
        """What the order of the samples depends on, the seed aside."""
        self._draw = draw

    def __len__(self) -> int:
        return self.batches.steps_per_epoch

    def __iter__(self) -> Iterator[Any]:
        return self._draw(self)

    def check_order(self, saved: Mapping[str, Any] | None) -> None:
        """Makes sure that the order is the one with which the run began.

        Raises:
            CheckpointMismatch: Naming the first fact that differs, with both values.
        """
        for name, value in (saved or {}).items():
            if self.facts[name] != value:
                what = "the length of the training data" if name == "length" else f"`{name}`"
                raise CheckpointMismatch(
                    f"{what} must stay {value!r} in this run, but got {self.facts[name]!r}; "
                    "bring it back, or begin a new run in another folder."
                )


def _length(dataset: Any) -> int:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DataError(
            f"the training data must have a length and be indexed by number, but got {type(dataset).__name__}; "
            "give it __len__ and __getitem__, or loop over a DataLoader of your own."
        )
    if len(dataset) == 0:
        raise DataError("the training data must hold at least one sample, but got none; look at where it is read from.")
    return len(dataset)
