"""What cannot be proved is refused in one line, with exit code 2, and leaves nothing behind."""

import os
import tempfile

import pytest


@pytest.fixture
def refused(holdfast, entries, monkeypatch, tmp_path_factory):
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    def check(*words):
        code, out, err = holdfast("prove", *words)
        assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
        assert entries() == os.listdir(place) == []
        return err

    return check


@pytest.mark.parametrize(
    "words,said",
    [
        (["tests.tiny:system", "--kill-at", "3,x"], "`--kill-at` must be steps with commas between them"),
        (["tests.tiny:system", "--kill-at", "3", "--kills", "2"], "drop one"),
        (["tests.tiny:system", "--kills", "0"], "`--kills` must be at least 1, but got 0"),
        (["tests.tiny:system", "--name", "mine"], "`prove` must make runs of its own, but got --name"),
        (["tests.tiny:system", "--", "python", "x.py"], "but got tests.tiny:system and python; drop one."),
        (["--workers-after", "2", "--", "python", "x.py"], "`--workers-after` must go with a system"),
    ],
)
def test_a_mistake_is_found_before_anything_is_trained(refused, words, said):
    assert said in refused(*words)


@pytest.mark.parametrize(
    "words,said",
    [
        ([], "`system` must be given, but got nothing"),
        (["tests.tiny:system", "--lrr", "3"], "unknown option `--lrr`"),
        (["tests.tiny:system", "--epochs", "1", "--kill-at", "6"], "`--kill-at` must name steps from 1 to 5"),
        (["tests.tiny:system", "--steps", "2", "--kills", "2"], "`--kills` must be less than the 2 steps"),
    ],
)
def test_a_mistake_that_the_training_finds_is_passed_on(refused, forks, words, said):
    assert said in refused(*words)


def test_a_script_that_does_not_exist_is_named(refused):
    assert "`--` must be followed by a command, but got ./missing" in refused("--", "./missing")


def test_a_script_that_trains_nothing_is_refused(refused):
    assert "with holdfast.open_run" in refused("--", "true")


def test_a_training_that_fails_by_itself_is_no_proof(holdfast, forks):
    code, _, err = holdfast("prove", "tests.tiny:system", "--data.bad", "7", "--output-dir", "kept")
    assert code == 1
    assert "the training must end by itself, but its process ended with code 1" in err
