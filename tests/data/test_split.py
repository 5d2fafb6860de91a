import pytest

from holdfast.data.split import Split
from holdfast.errors import DataError


def drawn(count: int = 10, *, share: float = 0.3, seed: int = 1000, fingerprint: str = "a1") -> Split:
    return Split.drawn(count, share=share, seed=seed, fingerprint=fingerprint)


def test_the_split_is_the_same_for_the_same_seed_and_leaves_nothing_out():
    assert (drawn().train, drawn().held_out) == ([1, 3, 5, 6, 7, 8, 9], [0, 2, 4])
    assert drawn(seed=1001).held_out != [0, 2, 4]


def test_a_stored_split_is_taken_over_whatever_would_be_drawn():
    other = drawn(seed=7)
    other.load_state_dict(drawn().state_dict())
    assert (other.train, other.held_out) == ([1, 3, 5, 6, 7, 8, 9], [0, 2, 4])


@pytest.mark.parametrize("other", [{"count": 11}, {"fingerprint": "b2"}])
def test_a_split_of_other_data_is_refused_with_both_values(other: dict):
    stored = drawn().state_dict()
    now = drawn(**other)
    with pytest.raises(DataError, match="10 samples with the fingerprint a1, but got") as caught:
        now.load_state_dict(stored)
    assert f"{now.count} with {now.fingerprint}" in str(caught.value)
