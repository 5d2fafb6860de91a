import random
from itertools import islice

import pytest

from holdfast.data.streams import StreamBatches
from holdfast.errors import CheckpointMismatch, DataError, SampleError
from holdfast.randomness import Keys
from tests.own_loop.streams import (
    Beginning,
    Buffering,
    Endless,
    Forgetting,
    Resetting,
    Shuffling,
    Stateless,
    Staying,
    Sticking,
)


class Drawing(Resetting):
    """Draws when it is asked for an iterator."""

    def __iter__(self):
        self.drawn = random.random()
        return super().__iter__()


EXACT = [Resetting, Staying, Sticking, Beginning, Shuffling, Buffering, Drawing, Endless]


def batches(dataset):
    keys = Keys(1, "train", "stream")
    return StreamBatches(dataset, None, length=15, batch_size=6, accumulation=2, keys=keys)


def take(source, first, count):
    with source.from_step(first) as stream:
        return [[part[0].tolist() for part in step.microbatches] for step in islice(stream, count)]


def resumed(kind, stop, count):
    first, again = batches(kind(10)), batches(kind(10))
    take(first, 0, stop)
    again.load_state_dict(first.state_dict())
    return take(again, stop, count - stop)


@pytest.mark.parametrize("kind", EXACT)
def test_a_stream_that_knows_where_it_is_goes_on_exactly_at_any_step(kind):
    whole = take(batches(kind(10)), 0, 12)
    assert [resumed(kind, stop, 12) for stop in range(1, 12)] == [whole[stop:] for stop in range(1, 12)]


def test_the_comparison_sees_one_that_does_not_go_back_to_where_it_was():
    assert resumed(Forgetting, 1, 4) != take(batches(Forgetting(10)), 0, 4)[1:]


def test_a_stream_is_where_it_was_brought_even_before_it_is_read():
    class Unaware(Sticking):
        """Knows where it is only once it has given something."""

        def load_state_dict(self, state):
            self.start = state["position"]

    source = batches(Unaware(10))
    source.load_state_dict({"dataset": {"position": 7}})
    assert source.state_dict() == {"dataset": {"position": 7}}


def test_what_is_loaded_or_saved_is_not_shared_with_the_stream():
    source = batches(Shuffling(10))
    take(source, 0, 1)
    state = source.state_dict()
    left = list(state["dataset"]["order"])
    take(source, 1, 1)
    source.load_state_dict(state)
    take(source, 1, 1)
    assert state["dataset"]["order"] == left


def test_a_pass_that_begins_within_a_step_has_draws_of_its_own():
    class Only(Resetting):
        def __iter__(self):
            yield self.data[0]

    source = StreamBatches(Only(1), None, length=3, batch_size=3, accumulation=1, keys=Keys(1, "train", "stream"))
    assert len({tuple(row) for row in take(source, 0, 1)[0][0]}) == 3


def test_steps_and_microbatches_are_cut_as_for_other_data():
    sizes = [[len(part) for part in step] for step in take(batches(Resetting(10)), 0, 4)]
    assert sizes == [[3, 3], [3, 3], [3], [3, 3]]


def test_a_stream_that_cannot_say_where_it_is_is_known_as_not_exact():
    assert batches(Resetting()).is_exact
    assert not batches(Stateless()).is_exact
    assert batches(Stateless()).state_dict() == {}


def test_a_state_that_cannot_be_put_back_is_refused():
    with pytest.raises(CheckpointMismatch, match="but got Stateless without them"):
        batches(Stateless()).load_state_dict({"dataset": {"position": 3}})
    with pytest.raises(CheckpointMismatch, match="but Resetting raised KeyError: 'position'"):
        batches(Resetting()).load_state_dict({"dataset": {}})


def test_a_stream_that_gives_nothing_is_refused():
    with pytest.raises(DataError, match="at least one sample in each pass"):
        take(batches(Resetting(0)), 0, 1)


def test_an_error_of_the_stream_names_the_step():
    class Broken(Resetting):
        def __iter__(self):
            yield from islice(super().__iter__(), 8)
            raise OSError("the line is cut")

    with pytest.raises(SampleError, match="must give the samples of step 2, but it raised OSError: the line is cut"):
        take(batches(Broken(10)), 0, 2)
