import pytest

from holdfast.clock import Clock, Every, parse_every


def test_a_step_counts_itself_and_its_samples():
    assert Clock().after_step(32).after_step(7) == Clock(step=2, samples=39)


def test_a_number_counts_in_the_default_unit():
    assert Every.parse(5, "epochs") == Every(5, "epochs")
    assert Every.parse("5", "steps") == Every(5, "steps")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("100 steps", Every(100, "steps")),
        ("1 epoch", Every(1, "epochs")),
        ("10 minutes", Every(600, "seconds")),
        ("1.5 hours", Every(5400, "seconds")),
        ("90 Seconds", Every(90, "seconds")),
    ],
)
def test_an_interval_may_carry_its_unit(text, expected):
    assert Every.parse(text, "epochs") == expected


@pytest.mark.parametrize("text", [0, -1, "ten steps", "1.5 steps", "", "10 parsecs", "0 minutes"])
def test_what_is_no_interval_is_refused_with_what_was_given(text):
    with pytest.raises(ValueError, match="but got"):
        Every.parse(text, "epochs")


def test_an_interval_is_due_when_a_multiple_is_reached_and_not_before():
    every = Every(3, "epochs")
    due = [epoch for epoch in range(1, 10) if every.is_due(Clock(epoch=epoch - 1), Clock(epoch=epoch))]
    assert due == [3, 6, 9]


def test_a_list_of_intervals_keeps_its_order():
    assert parse_every([5, "100 steps"], "epochs") == (Every(5, "epochs"), Every(100, "steps"))
