"""Data that can only be read in its own order: passes that go on where they were left, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import count, islice
from typing import Any

from torch.utils.data import default_collate

from holdfast.data.batches import Microbatch, StepBatch
from holdfast.errors import CheckpointMismatch, DataError, HoldfastError, SampleError
from holdfast.randomness import Keys, seed_all

_STATE = "dataset"
"""The name under which the place of a stream is kept."""


class Stream:
    """A data set that is only iterable, read pass by pass, in this process.

    One with `state_dict` and `load_state_dict` goes on where it was left, so resuming is exact. One without begins
    anew: nothing can know what it would have given.

    What data sets make of a state that says "at the end" differs: some begin anew, some give nothing once, some give
    nothing ever after. So each pass begins by giving the data set the state in which the last one ended, in a run that
    was never interrupted, too: what follows is then the same as after a resume, whatever it is.
    """

    def __init__(self, dataset: Iterable[Any]) -> None:
        self.dataset = dataset
        self.is_exact = all(callable(getattr(dataset, name, None)) for name in ("state_dict", "load_state_dict"))
        """Whether the data set can say where it is."""
        self._place: Mapping[str, Any] | None = None
        self._place = self._beginning = self.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Gives where the data set is; nothing for one that cannot say."""
        if self._place is not None:
            # Many do not know it themselves between being brought somewhere and being read from there.
            return dict(self._place)
        return {_STATE: deepcopy(self.dataset.state_dict())} if self.is_exact else {}  # pyright: ignore[reportAttributeAccessIssue]

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Brings the data set to where it was; says whether the state says where that is.

        Raises:
            CheckpointMismatch: When the data set cannot be brought there.
        """
        if _STATE not in state:
            return False
        kind = type(self.dataset).__name__
        if not self.is_exact:
            raise CheckpointMismatch(
                "the training data must have `state_dict` and `load_state_dict`, for the checkpoint says where it was, "
                f"but got {kind} without them; bring them back, or begin a new run."
            )
        try:
            self._load(state)
        except Exception as error:
            raise CheckpointMismatch(
                f"the training data must take its state from the checkpoint, but {kind} raised "
                f"{type(error).__name__}: {error}; use what the run was begun with."
            ) from error
        return True

    def rest_of_pass(self, opened: Callable[[], None]) -> Generator[Any, None, bool]:
        """Gives what is left of the pass in progress, which may be nothing, and then says whether it was anything.

        Args:
            opened: Is called once the data set is being iterated, before the first sample; `__iter__` may have drawn.
        """
        samples = iter(self.dataset)
        self._place = None
        opened()
        is_anything = False
        for sample in samples:
            is_anything = True
            yield sample
        return is_anything

    def next_pass(self, opened: Callable[[], None]) -> Generator[Any, None, None]:
        """Gives what is left of the pass in progress or, when that is nothing, the next one.

        Args:
            opened: Is called once the data set is being iterated, before the first sample.

        Raises:
            DataError: When there is nothing to give.
        """
        if self._place is None:
            self._load(self.state_dict())
        for attempt in range(3):
            if attempt == 2:
                self._load(self._beginning)
            if (yield from self.rest_of_pass(opened)):
                return
        raise DataError(
            "the training data must give at least one sample in each pass, but got none; look at where it is read "
            "from, and let `__iter__` begin anew after the end."
        )

    def _load(self, state: Mapping[str, Any]) -> None:
        if self.is_exact:
            self.dataset.load_state_dict(deepcopy(state[_STATE]))  # pyright: ignore[reportAttributeAccessIssue]
            self._place = {_STATE: state[_STATE]}


class StreamBatches:
    """Like `Batches` for a stream: the batches that each step trains on, with as many samples per epoch as is said.

    Args:
        dataset: What is read; begun again when it ends.
        collate: How samples become a batch; None means torch's default.
        length: Samples per epoch.
        batch_size: Samples per step, accumulation included.
        accumulation: Microbatches per step.
        keys: The keys by which the global generators are set before each step's samples.
    """

    def __init__(
        self,
        dataset: Iterable[Any],
        collate: Callable[[list[Any]], Any] | None,
        *,
        length: int,
        batch_size: int,
        accumulation: int,
        keys: Keys,
    ) -> None:
        self._data = Stream(dataset)
        self._collate = collate or default_collate
        self._batch_size = batch_size
        self._microbatch_size = batch_size // accumulation
        self._keys = keys
        self.num_samples = length
        self.steps_per_epoch = -(-length // batch_size)

    @property
    def is_exact(self) -> bool:
        """Whether the data set can say where it is."""
        return self._data.is_exact

    def plan(self, step: int) -> list[Microbatch]:
        """Gives nothing: what a stream will give is not known before."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Gives where the data set is; empty for one that cannot say."""
        return self._data.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Brings the data set to where it was."""
        self._data.load_state_dict(state)

    @contextmanager
    def from_step(self, step: int) -> Iterator[Iterator[StepBatch]]:
        """Opens the endless stream of batches; it goes on where the data set is."""
        yield self._stream(step)

    def _stream(self, first: int) -> Iterator[StepBatch]:
        step, taken = first, list[Any]()

        def set_generators() -> None:
            # A pass that begins within a step has draws of its own.
            seed_all(self._keys(step, len(taken)) if taken else self._keys(step))

        samples = self._samples(set_generators)
        for step in count(first):
            position = step % self.steps_per_epoch * self._batch_size
            wanted = min(self._batch_size, self.num_samples - position)
            taken = []
            set_generators()
            for sample in guarded(islice(samples, wanted), f"the samples of step {step + 1}"):
                taken.append(sample)
            parts = range(0, wanted, self._microbatch_size)
            yield StepBatch([self._collate(taken[at : at + self._microbatch_size]) for at in parts], wanted)

    def _samples(self, opened: Callable[[], None]) -> Iterator[Any]:
        while True:
            yield from self._data.next_pass(opened)


def guarded(samples: Iterator[Any], what: str) -> Iterator[Any]:
    """Gives samples; an error that the data set raises says what was being read.

    Raises:
        SampleError: When the data set raises.
    """
    try:
        yield from samples
    except HoldfastError:
        raise
    except Exception as error:
        raise SampleError(
            f"the data set must give {what}, but it raised {type(error).__name__}: {error}; mend it, then resume."
        ) from error
