"""The proof proves something: what others do, and each weakening of our protocol, is found to be unsafe."""

from collections import Counter

import pytest

from tests.crash.mutations import HARMLESS, LEFT_OUT, MUTATIONS, no_fsync_of_folders
from tests.crash.rivals import RIGHT, RIVALS, judged
from tests.crash.trials import TRIALS


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_loses_or_tears_a_checkpoint(rival):
    assert set(judged(RIVALS[rival])) > {"fine"}


def test_one_file_replaced_with_both_fsyncs_is_found_to_be_safe():
    assert set(judged(RIGHT)) == {"fine"}


def test_a_rename_without_fsync_of_the_folder_loses_acknowledged_saves_and_tears_none():
    assert set(judged(RIVALS["a temporary file, fsync and a rename"])) == {"fine", "lost"}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_protocol_that_is_weaker_by_one_step_is_found_to_be_unsafe(mutation):
    weaken, name = MUTATIONS[mutation]
    case = TRIALS[name](weaken)
    with weaken():
        found = next(case.bad(), None)
    assert found is not None
    # A change that only breaks the program would show nothing about the protocol.
    assert not any(error in found for error in ("TypeError", "AttributeError", "NameError"))


@pytest.mark.long
def test_only_the_right_way_of_replacing_one_file_is_found_to_be_safe_in_many_states():
    for name, save in {**RIVALS, "all of these": RIGHT}.items():
        verdicts = Counter(judged(save, extra=40))
        print(f"\n{name}: {sum(verdicts.values())} states, {dict(verdicts)}")
        assert (set(verdicts) == {"fine"}) == (save is RIGHT)


@pytest.mark.long
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_how_many_states_of_each_trial_show_a_weaker_protocol(mutation):
    weaken, expected = MUTATIONS[mutation]
    counts = {}
    for name, trial in TRIALS.items():
        case = trial(weaken)
        with weaken():
            counts[name] = (sum(1 for _ in case.bad()), len(case.crashes))
    red = {name: f"{bad} of {states}" for name, (bad, states) in counts.items() if bad}
    print(f"\n{mutation}: {red}")
    assert expected in red


def judge_without_fsync_in(function, trials):
    LEFT_OUT.clear()
    left_out = no_fsync_of_folders(function)
    for trial in trials:
        case = trial(left_out)
        with left_out():
            assert list(case.bad()) == []
    assert {function} == LEFT_OUT


@pytest.mark.parametrize("mutation", HARMLESS)
def test_a_step_that_only_saves_space_is_not_taken_for_one_that_saves_data(mutation):
    judge_without_fsync_in(HARMLESS[mutation], [TRIALS["numbered saves"], TRIALS["rot in the newest"]])


@pytest.mark.long
@pytest.mark.parametrize("mutation", HARMLESS)
def test_a_step_that_only_saves_space_is_in_no_trial_taken_for_one_that_saves_data(mutation):
    judge_without_fsync_in(HARMLESS[mutation], TRIALS.values())
