"""A power cut in the recovery from another power cut, or from a kill, or in the save that follows."""

import pytest

from tests.crash.stories import STORIES
from tests.crash.trials import after_kills, after_power_cuts


def judged(cases, sample=None):
    """Gives the number of states in all cases, and the bad ones."""
    count, bad = 0, []
    for case in cases:
        chosen = case.sample(sample) if sample else case
        count += len(chosen.crashes)
        bad += chosen.bad()
    return count, bad


@pytest.mark.parametrize("story", STORIES)
def test_a_power_cut_in_the_recovery_from_a_power_cut_loses_nothing(story):
    _, bad = judged(after_power_cuts(STORIES[story], every=4), sample=5)
    assert bad == []


@pytest.mark.parametrize("number", [2, 1], ids=["another process number", "the same process number"])
@pytest.mark.parametrize("story", STORIES)
def test_a_power_cut_in_the_recovery_from_a_kill_loses_nothing(story, number):
    _, bad = judged(after_kills(STORIES[story], number=number, every=7), sample=4)
    assert bad == []


def test_what_a_killed_process_had_just_made_is_durable_before_it_is_built_upon():
    """A new folder, or a renamed file that is loaded, though the kill came before the fsync."""
    _, bad = judged(after_kills(STORIES["first save"]))
    assert bad == []


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES)
def test_every_power_cut_in_every_recovery_from_a_power_cut_loses_nothing(story):
    count, bad = judged(after_power_cuts(STORIES[story], extra=2))
    print(f"\n{story}: {count} states after two power cuts, {len(bad)} bad")
    assert bad == []


@pytest.mark.long
@pytest.mark.parametrize("number", [2, 1], ids=["another process number", "the same process number"])
@pytest.mark.parametrize("story", STORIES)
def test_every_power_cut_in_every_recovery_from_a_kill_loses_nothing(story, number):
    count, bad = judged(after_kills(STORIES[story], number=number, extra=2))
    print(f"\n{story}: {count} states after a kill and a power cut, {len(bad)} bad")
    assert bad == []
