"""Batches: what each step trains on, known before any worker sees it, from any position at once.

The microbatches of step *t* are a pure function of the order and *t*. Workers only fetch what they are told, so their
number and how far they read ahead change nothing; going on at a position reads nothing that was read before.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from holdfast.data.order import Order
from holdfast.data.scheduled import Schedule, Scheduled
from holdfast.errors import SampleError, TrainingError, UserError
from holdfast.randomness import Keys, seed_all


@dataclass(frozen=True)
class Microbatch:
    """Which samples one forward and backward uses."""

    epoch: int
    step: int
    number: int
    indices: Sequence[int]


@dataclass(frozen=True)
class StepBatch:
    """What one optimizer step trains on."""

    microbatches: Sequence[Any]
    samples: int


class Composer(Dataset[Any]):
    """Like a data set whose items are whole batches: `composer[microbatch]` fetches and collates its samples.

    Before each sample Python's, NumPy's and torch's generators are set from (seed, stage, epoch, index), so any
    ordinary data set with random augmentation gives the same sample again, whoever asks for it and when.

    Args:
        dataset: What is fetched from.
        collate: How samples become a batch; None means torch's default.
        seed: The seed of the run.
        stage: The stage, whose draws are its own.
        augment: Whether each epoch augments anew; otherwise a sample is the same in every epoch.
        schedule: What changes with the epoch; with it the data set is asked for `Scheduled` instead of an index.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Callable[[list[Any]], Any] | None,
        seed: int,
        stage: str,
        *,
        augment: bool = True,
        schedule: Schedule | None = None,
    ) -> None:
        self.dataset = dataset
        self._augment = augment
        self._schedule = schedule
        self._collate = collate or default_collate
        self._seed = (seed, stage)
        self._sample_key = Keys(*self._seed, "sample")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_sample_key"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._sample_key = Keys(*self._seed, "sample")

    def __getitem__(self, microbatch: Microbatch) -> Any:
        # What a collate function draws follows the last sample's key: it needs none of its own.
        return self._collate([self._sample(microbatch.epoch, index) for index in microbatch.indices])

    def _sample(self, epoch: int, index: int) -> Any:
        seed_all(self._sample_key(epoch if self._augment else 0, index))
        asked = index if self._schedule is None else Scheduled(index, self._schedule(epoch))
        try:
            return self.dataset[asked]
        except Exception as error:
            raise SampleError(
                f"the data set must give sample {index}, but it raised {type(error).__name__}: {error}; "
                f"mend or leave out that sample, then resume."
            ) from error


class Batches:
    """The batches of a run: like a `DataLoader` that starts at any step at no cost and never runs out.

    Args:
        composer: Fetches the samples.
        order: Which sample stands at which position.
        batch_size: Samples per step, accumulation included.
        accumulation: Microbatches per step.
        workers: Processes that fetch samples; 0 fetches in this one.
    """

    def __init__(
        self, composer: Composer, order: Order, *, batch_size: int, accumulation: int = 1, workers: int = 0
    ) -> None:
        if batch_size % accumulation:
            raise UserError(
                f"`training.batch_size` must be a multiple of `training.accumulation`, but got {batch_size} and "
                f"{accumulation}; choose a batch size such as {(batch_size // accumulation + 1) * accumulation}."
            )
        self._composer = composer
        self._order = order
        self._batch_size = batch_size
        self._microbatch_size = batch_size // accumulation
        self._workers = workers
        self.steps_per_epoch = -(-order.length // batch_size)

    @property
    def num_samples(self) -> int:
        """Samples per epoch."""
        return self._order.length

    def state_dict(self) -> dict[str, Any]:
        """Gives nothing: the step says where the data is."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing, for there is nothing to bring back."""

    def plan(self, step: int) -> list[Microbatch]:
        """Gives the microbatches of a step of the run (counted from 0)."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        start = step_in_epoch * self._batch_size
        indices = self._order.indices(epoch, start, start + self._batch_size)
        size = self._microbatch_size
        return [
            Microbatch(epoch, step, number, indices[first : first + size])
            for number, first in enumerate(range(0, len(indices), size))
        ]

    @contextmanager
    def from_step(self, step: int) -> Iterator[Iterator[StepBatch]]:
        """Opens the endless stream of batches that begins with `step`; workers end with the block.

        Fetching in this process (no workers) leaves the global generators anywhere: set them before drawing from them.
        """
        with closing(self._stream(step)) as stream:
            yield stream

    def epoch(self, epoch: int = 0) -> Iterator[Any]:
        """Gives the batches of one epoch, each step's microbatches one after another."""
        first = epoch * self.steps_per_epoch
        with self.from_step(first) as stream:
            for batch in islice(stream, self.steps_per_epoch):
                yield from batch.microbatches

    def _stream(self, first: int) -> Generator[StepBatch, None, None]:
        fetched = iter(self._loader(first)) if self._workers else map(self._composer.__getitem__, self._planned(first))
        for step in count(first):
            _, position = divmod(step, self.steps_per_epoch)
            samples = min(self._batch_size, self._order.length - position * self._batch_size)
            try:
                microbatches = list(islice(fetched, -(-samples // self._microbatch_size)))
            except (ConnectionError, EOFError) as error:
                raise _worker_died(error) from error
            yield StepBatch(microbatches, samples)

    def _loader(self, step: int) -> DataLoader[Any]:
        return DataLoader(
            self._composer,
            batch_size=None,
            sampler=_Planned(self, step),
            collate_fn=_as_it_is,
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_interrupts_to_the_parent,
            generator=torch.Generator(),  # its own, so that starting workers draws nothing from the run's
        )

    def _planned(self, step: int) -> Iterator[Microbatch]:
        while True:
            yield from self.plan(step)
            step += 1


class _Planned:
    """The endless list of microbatches in the form that a `DataLoader` takes as its sampler."""

    def __init__(self, batches: Batches, step: int) -> None:
        self._batches = batches
        self._step = step

    def __iter__(self) -> Iterator[Microbatch]:
        return self._batches._planned(self._step)


def _leave_interrupts_to_the_parent(worker: int) -> None:
    # Ctrl-C reaches the whole process group: a worker that died of it would take the step in progress with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _as_it_is(batch: Any) -> Any:
    return batch


def worker_death(error: BaseException) -> TrainingError | None:
    """Gives what to tell a person when an error means that a loader worker died; None for any other error.

    Torch raises it from a signal handler, so it may come from any line of the training.
    """
    is_death = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    return _worker_died(error) if is_death else None


def _worker_died(error: BaseException) -> TrainingError:
    return TrainingError(
        f"the loader workers must live as long as the run, but one died ({str(error).splitlines()[0]}); "
        "look for a lack of memory, lower `data.num_workers`, then resume"
    )
