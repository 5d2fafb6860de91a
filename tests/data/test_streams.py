from itertools import islice

import torch
from torch.utils.data import IterableDataset

from holdfast.data.streams import StreamBatches
from holdfast.randomness import Keys


class Counting(IterableDataset):
    """Counts up with noise from the global generator; can say where it is."""

    def __init__(self):
        self.position = 0

    def __iter__(self):
        while self.position < 10:
            self.position += 1
            yield torch.tensor([self.position, float(torch.rand(()))])
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class Forgetful(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(10.0))


def batches(dataset):
    keys = Keys(1, "train", "stream")
    return StreamBatches(dataset, None, length=10, batch_size=4, accumulation=2, keys=keys)


def take(source, first, count):
    with source.from_step(first) as stream:
        return [[part.tolist() for part in step.microbatches] for step in islice(stream, count)]


def test_a_stream_that_knows_where_it_is_goes_on_exactly_at_any_step():
    whole = take(batches(Counting()), 0, 7)
    for stop in range(1, 7):
        first = batches(Counting())
        assert take(first, 0, stop) == whole[:stop]
        again = batches(Counting())
        again.load_state_dict(first.state_dict())
        assert take(again, stop, 7 - stop) == whole[stop:]


def test_steps_and_microbatches_are_cut_as_for_other_data():
    sizes = [[len(part) for part in step] for step in take(batches(Counting()), 0, 4)]
    assert sizes == [[2, 2], [2, 2], [2], [2, 2]]


def test_a_stream_that_cannot_say_where_it_is_is_known_as_not_exact():
    assert batches(Counting()).is_exact
    assert not batches(Forgetful()).is_exact
    assert batches(Forgetful()).state_dict() == {}
