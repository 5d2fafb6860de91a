"""A power cut at any moment of a run: what was acknowledged is there, whole, and the run goes on."""

import pytest

from tests.crash.stories import STORIES
from tests.crash.trials import ROT, beside_a_late_twin, beside_another_writer, one_crash, with_rot

MANY_BLOCKS = 60


@pytest.mark.parametrize("story", STORIES)
def test_a_power_cut_loses_no_acknowledged_save_and_tears_none(story):
    assert list(one_crash(STORIES[story]).bad()) == []


@pytest.mark.parametrize("story", STORIES)
def test_a_restart_with_the_process_number_of_the_dead_one_is_as_safe_as_any(story):
    """In a container the training process often has the same number each time."""
    assert list(one_crash(STORIES[story]).sample(40).found_by(1).bad()) == []


@pytest.mark.parametrize("story", ["the best moves", "the best is an unnumbered one", "no hard links"])
def test_files_written_in_one_tick_of_the_clock_are_told_apart(story):
    assert list(one_crash(STORIES[story]).sample(60).bad(same_times=True)) == []


def test_a_power_cut_beside_another_writer_in_the_folder_loses_nothing_of_either():
    assert list(beside_another_writer().bad()) == []


def test_a_process_started_late_by_mistake_changes_nothing():
    assert list(beside_a_late_twin().bad()) == []


@pytest.mark.parametrize("kind", ROT)
@pytest.mark.parametrize("step", [2, 3])
def test_a_power_cut_while_a_damaged_file_is_set_aside_loses_no_good_one(step, kind):
    assert list(with_rot(step, kind).bad()) == []


@pytest.mark.parametrize("kind", ROT)
@pytest.mark.parametrize("step", [2, 3])
def test_a_prune_never_relies_on_a_damaged_file(step, kind):
    assert list(with_rot(step, kind, loading=False).bad()) == []


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES)
def test_no_choice_of_surviving_blocks_is_taken_for_a_checkpoint(story):
    case = one_crash(STORIES[story], extra=MANY_BLOCKS)
    bad = [*case.bad(), *case.found_by(1).bad(), *case.bad(same_times=True)]
    print(f"\n{story}: {len(case.crashes)} states, each judged 3 times, {len(bad)} bad")
    assert bad == []
