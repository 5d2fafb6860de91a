"""Whatever happens to a file, reading it ends in a content or in one clear line, and does nothing else."""

import pickle

import pytest

from tests.foreign.mutations import mutants, spoken
from tests.foreign.watching import watched_contents


def test_hundreds_of_damaged_files_are_read_or_refused(here):
    result = watched_contents(mutants(500, seed=0), here / "file.pth")
    assert result.outcomes == [] and result.grown < 300 << 20


def test_hundreds_of_known_classes_with_anything_for_parts_are_read_or_refused(here):
    result = watched_contents(spoken(1000, seed=0), here / "file.pth")
    assert result.outcomes == [] and result.grown < 300 << 20


def test_the_same_watch_sees_what_a_trusting_reader_does(here):
    def trusting(path, limits):
        pickle.loads(path.read_bytes())

    result = watched_contents(mutants(300, seed=0), here / "file.pth", trusting)
    heard = {event.split()[0] for outcome in result.outcomes for event in outcome.heard}
    assert "pickle.find_class" in heard
    assert any(outcome.error.startswith("unexpected") for outcome in result.outcomes)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_times_ten_thousand_damaged_files_are_read_or_refused(here, seed):
    for contents in (mutants(10_000, seed), spoken(3_000, seed)):
        result = watched_contents(contents, here / "file.pth")
        assert result.outcomes == [] and result.grown < 500 << 20
