"""The batches of a loop of one's own from data that can only be iterated."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

from torch.utils.data import default_collate

from holdfast.checkpoint.parts import with_containers_of
from holdfast.data.batches import StepBatch
from holdfast.data.streams import Stream, guarded
from holdfast.errors import UserError
from holdfast.randomness import Keys, seed_all


class Streamed:
    """A data set that can only be iterated: each epoch is one pass over it.

    Nothing is read ahead: a batch is read when the loop asks for it, once what the last one has made due is saved.

    Args:
        dataset: What is iterated.
        collate: How samples become a batch; None means torch's default.
        seed: The seed of the run.
        batch_size: Samples per batch; the last one may have fewer.
    """

    def __init__(
        self, dataset: Iterable[Any], collate: Callable[[list[Any]], Any] | None, seed: int, *, batch_size: int
    ) -> None:
        self._dataset = dataset
        self._stream: Stream | None = None
        self._collate = collate or default_collate
        self._keys = Keys(seed, "train", "stream")
        self._batch_size = batch_size
        self._is_over = False
        self.facts: Mapping[str, Any] = {"kind": "only iterable", "batch_size": batch_size}
        """What the order of the samples depends on, the data set aside."""

    def __len__(self) -> int:
        length = len(self._dataset)  # pyright: ignore[reportArgumentType]
        return (length + self._batch_size - 1) // self._batch_size

    @property
    def stream(self) -> Stream:
        """The data set with its place."""
        self._stream = self._stream or Stream(self._dataset)
        return self._stream

    def follow(self, last: Streamed) -> None:
        """Goes on where the last epoch has ended.

        Raises:
            UserError: When that was another stream, whose place would be lost.
        """
        if last._dataset is self._dataset:
            self._stream = last.stream
        elif last.stream.is_exact or self.stream.is_exact:
            raise UserError(
                "`run.batches` must get the same stream in every epoch, for where it is belongs to the run, "
                "but got another one; make it before the loop over run.epochs."
            )

    def state_dict(self) -> dict[str, Any]:
        """Gives where the stream is, and whether its pass is known to be over."""
        return {"is_over": self._is_over, **self.stream.state_dict()}

    def go_on(self, place: Mapping[str, Any] | None, *, done: int) -> bool:
        """Brings the stream to where it was, and says whether that was known.

        Args:
            place: As `state_dict` gave it when the state was saved from which the run goes on; None in a new run.
            done: How many batches of the epoch are done.

        Raises:
            CheckpointMismatch: When the stream cannot be brought there.
        """
        if place is None:
            return True
        self._is_over = done > 0 and place["is_over"]
        is_known = self.stream.load_state_dict(with_containers_of(self.stream.state_dict(), dict(place)))
        return is_known or done == 0 or self._is_over

    @contextmanager
    def open(self, epoch: int, done: int) -> Iterator[Iterator[StepBatch]]:
        """Opens what is left of an epoch of which so many batches are done."""
        with closing(self._batches(epoch, done)) as batches:
            yield batches

    def indices(self, epoch: int, first: int, count: int) -> None:
        """Gives nothing: the samples of a stream have no numbers."""

    def _batches(self, epoch: int, number: int) -> Generator[StepBatch, None, None]:
        def set_generators() -> None:
            seed_all(self._keys(epoch, number))

        samples = (self.stream.rest_of_pass if number else self.stream.next_pass)(set_generators)
        while not self._is_over:
            set_generators()
            what = f"batch {number + 1} of epoch {epoch + 1}"
            taken = list(guarded(islice(samples, self._batch_size), what))
            # A pass that has ended may have begun anew by its state: only this says that it is over.
            self._is_over = len(taken) < self._batch_size
            if taken:
                yield StepBatch([self._collate(taken)], len(taken))
            number += 1
