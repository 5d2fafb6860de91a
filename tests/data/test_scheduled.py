"""What changes with the epoch reaches the data set with each index."""

import pytest
from torch.utils.data import Dataset

from holdfast.data import views
from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.data.scheduled import Fixed, Scheduled


class Asked(Dataset):
    """Gives back what it was asked for."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, asked: Scheduled):
        return asked.index, asked.value


def size_of(epoch: int) -> int:
    return 100 * (epoch + 1)


def composed(dataset: Dataset, *, augment: bool = True) -> Composer:
    return Composer(dataset, lambda samples: samples, 1, "train", augment=augment, schedule=size_of)


def fetched(dataset: Dataset, count: int, *, first: int = 0, length: int = 6, workers: int = 0) -> list:
    batches = Batches(composed(dataset), Order(length, shuffle=None), batch_size=length, workers=workers)
    with batches.from_step(first) as stream:
        return [next(stream).microbatches[0] for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_knows_the_value_of_its_epoch_also_in_workers_that_live_on(workers: int):
    assert fetched(Asked(), 3, workers=workers) == [[(i, value) for i in range(6)] for value in (100, 200, 300)]


def test_a_run_that_begins_later_has_the_value_of_that_epoch():
    assert fetched(Asked(), 1, first=4) == [[(i, 500) for i in range(6)]]


def test_a_subset_hands_the_value_on_with_its_own_index():
    some = views.View(Asked(), [5, 2])
    assert fetched(some, 2, length=2) == [[(5, 100), (2, 100)], [(5, 200), (2, 200)]]


def test_a_fixed_data_set_is_asked_by_index_and_stays_at_its_value():
    fixed = Fixed(views.first(Asked(), 3), 700)
    assert len(fixed) == 3
    assert [fixed[index] for index in range(3)] == [(0, 700), (1, 700), (2, 700)]


def test_without_a_schedule_a_data_set_is_asked_by_index_alone():
    plain = Composer([10, 11], lambda samples: samples, 1, "train")  # pyright: ignore[reportArgumentType]
    batches = Batches(plain, Order(2, shuffle=None), batch_size=2)
    assert list(batches.epoch(3)) == [[10, 11]]
