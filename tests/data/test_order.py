import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.data import order as order_module
from holdfast.data.order import Order
from holdfast.randomness import Keys


def order(length, seed=1000, stage="train"):
    return Order(length, shuffle=Keys(seed, stage, "order"))


@given(st.integers(0, 300), st.integers(0, 10**6))
def test_an_epoch_visits_each_sample_once(length, epoch):
    assert sorted(order(length).indices(epoch, 0, length)) == list(range(length))


def test_the_order_is_the_same_in_every_release():
    assert order(10).indices(0, 0, 10) == [7, 1, 4, 3, 8, 9, 2, 0, 6, 5]
    assert order(10).indices(1, 0, 10) == [3, 6, 2, 5, 9, 0, 7, 4, 8, 1]


def test_epochs_seeds_and_stages_have_orders_of_their_own():
    orders = [
        order(50).indices(0, 0, 50),
        order(50).indices(1, 0, 50),
        order(50, seed=1).indices(0, 0, 50),
        order(50, stage="dense").indices(0, 0, 50),
    ]
    assert len({tuple(one) for one in orders}) == 4


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 40)), max_size=20))
def test_any_position_can_be_asked_for_in_any_sequence(asked):
    shared = order(40)
    for epoch, start, stop in asked:
        assert shared.indices(epoch, start, stop) == order(40).indices(epoch, 0, 40)[start:stop]


def test_without_shuffling_samples_come_in_their_own_order():
    assert Order(5, shuffle=None).indices(3, 1, 9) == [1, 2, 3, 4]


@given(st.integers(1, 400), st.integers(0, 10**6))
def test_a_walked_epoch_visits_each_sample_once_too(length, epoch):
    keys = [Keys(1, "train", "order")(epoch, number) for number in range(6)]
    walked = order_module._walked(np.arange(length, dtype=np.uint64), length, keys)
    assert sorted(walked.tolist()) == list(range(length))


def test_the_order_of_a_large_data_set_is_the_same_in_every_release():
    assert order(10**9).indices(0, 10**9 - 4, 10**9) == [120864596, 952402909, 808772872, 757638699]


def test_coming_to_a_position_in_a_thousand_million_samples_costs_nothing():
    started = time.perf_counter()
    assert len(order(10**9 + 7).indices(3, 10**9, 10**9 + 256)) == 7
    assert time.perf_counter() - started < 0.01
