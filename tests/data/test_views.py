import pytest

from holdfast.data import views
from holdfast.errors import UserError


def test_a_subset_is_the_same_for_the_same_seed_and_another_for_another():
    chosen = [views.subset(range(100, 200), 5, seed).indices for seed in (42, 42, 43)]
    assert chosen[0] == chosen[1] == sorted(chosen[0])
    assert chosen[0] != chosen[2]
    assert chosen[0] == [11, 46, 72, 95, 99]


def test_the_first_samples_are_the_first_under_their_own_numbers():
    view = views.first(range(100, 200), 3)
    assert [view[index] for index in range(len(view))] == [100, 101, 102]


@pytest.mark.parametrize("make", [views.first, lambda data, size: views.subset(data, size, 1)])
def test_more_than_there_is_is_refused_with_both_numbers(make):
    with pytest.raises(UserError, match="at most the 10 training samples, but got 11"):
        make(range(10), 11)
