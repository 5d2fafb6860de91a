import random
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.errors import SampleError, UserError
from holdfast.randomness import Keys


class Noisy(Dataset):
    """Ten samples whose augmentation draws from all three global generators; remembers what was read."""

    def __init__(self, length=10, bad=None):
        self.length, self.bad, self.read = length, bad, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.read.append(index)
        if index == self.bad:
            raise ValueError("torn image")
        return torch.tensor([index, random.random(), np.random.rand(), float(torch.rand(()))])


def batches(dataset=None, *, batch_size=4, accumulation=1, workers=0):
    dataset = dataset or Noisy()
    composer = Composer(dataset, None, seed=1, stage="train")
    order = Order(len(dataset), shuffle=Keys(1, "train", "order"))
    return Batches(composer, order, batch_size=batch_size, accumulation=accumulation, workers=workers)


def taken(source, first, count):
    with source.from_step(first) as stream:
        return [[part.tolist() for part in step.microbatches] for step in islice(stream, count)]


def test_an_epoch_is_every_sample_once_with_a_short_last_batch():
    source = batches()
    assert source.steps_per_epoch == 3
    sizes = [step.samples for step in islice(iter(enter(source)), 3)]
    assert sizes == [4, 4, 2]


def enter(source):
    with source.from_step(0) as stream:
        yield from islice(stream, source.steps_per_epoch)


def test_going_on_at_any_step_gives_the_batches_of_the_uninterrupted_stream():
    whole = taken(batches(), 0, 9)
    for step in range(9):
        assert taken(batches(), step, 9 - step) == whole[step:]


def test_going_on_reads_nothing_that_was_read_before():
    dataset = Noisy()
    taken(batches(dataset), 2, 1)
    assert len(dataset.read) == 2


def test_workers_change_nothing():
    assert taken(batches(workers=2), 1, 5) == taken(batches(workers=0), 1, 5)


def test_microbatches_divide_the_step_and_hold_the_same_samples():
    whole, parts = taken(batches(), 0, 3), taken(batches(accumulation=2), 0, 3)
    assert [len(step) for step in parts] == [2, 2, 1]
    assert [[row for part in step for row in part] for step in parts] == [step[0] for step in whole]


def test_each_epoch_augments_anew():
    first, second = taken(batches(batch_size=10), 0, 2)
    assert sorted(row[0] for row in first[0]) == sorted(row[0] for row in second[0])
    assert {row[1] for row in first[0]}.isdisjoint({row[1] for row in second[0]})


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_raises_is_named(workers):
    with pytest.raises(SampleError, match="sample 7, but it raised ValueError: torn image"):
        taken(batches(Noisy(bad=7), workers=workers), 0, 3)


def test_a_batch_that_accumulation_does_not_divide_is_refused_with_one_that_it_does():
    with pytest.raises(UserError, match=r"multiple of `training.accumulation`, but got 4 and 3; .* 6"):
        batches(accumulation=3)
