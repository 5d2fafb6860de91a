"""`holdfast prove` says that a training is exact when it is, and names what differs first when it is not."""

import json
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPT = ["--", sys.executable, str(Path(__file__).with_name("script.py"))]
FLAWED = ["prove", "tests.prove.flawed:system", "--epochs", "1"]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path_factory):
    """Children find the tests, and what is kept of a proof is kept apart."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def test_an_exact_system_is_proved_with_real_processes(holdfast, entries):
    code, out, err = holdfast("prove", "tests.tiny:system", "--epochs", "1", "--no-tensorboard", "--kill-at", "3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "1/3 uninterrupted: 5 steps",
        "2/3 from the start: killed after step 3",
        "3/3 from step 2: to the end",
    ]
    assert lines[3].startswith("equal: killed after step 3 of 5 and resumed, the training ended as the uninterrupted")
    assert lines[4].startswith("hash: ") and len(lines) == 5
    assert entries() == []


@pytest.mark.parametrize(
    "flaw,first",
    [
        ("order", ("order", 1)),
        ("samples", ("samples", 1)),
        ("augmentation", ("augmentation", 4)),
        ("noise", ("noise", 4)),
        ("counter", ("noise", 4)),
        ("optimizer", ("optimizer", 3)),
        ("averaged weights", ("averaged weights", 3)),
        ("history", ("history", 5)),
    ],
)
def test_a_flaw_is_named_with_its_first_step(holdfast, forks, monkeypatch, flaw, first):
    monkeypatch.setenv("FLAW", flaw)
    code, out, _ = holdfast(*FLAWED, "--ema", "0.9", "--kill-at", "4", "--output-dir", "kept", "--json")
    document = json.loads(out)
    assert (code, document["equal"]) == (1, False)
    assert (document["first_difference"]["part"], document["first_difference"]["step"]) == first


def test_the_sentence_says_what_differs_where_and_what_that_means(holdfast, forks, monkeypatch):
    monkeypatch.setenv("FLAW", "augmentation")
    code, out, _ = holdfast(*FLAWED, "--kill-at", "4", "--output-dir", "kept")
    assert code == 1
    assert out.splitlines()[3:] == [
        "different: augmentation of step 4: part 0 of the batch of the same samples differs, "
        "after the kill of step 4 and the resume from 3",
        "what it usually means: the data set draws from a generator of its own; use the global ones of random, numpy "
        "and torch, which are set before each sample",
        "what differs, too: history, weights, metric, best, metrics, optimizer",
        f"the trainings and what they printed: {out.splitlines()[-1].partition(': ')[2]}",
    ]


def test_a_chain_of_random_kills_with_other_workers_is_proved(holdfast, forks):
    code, out, _ = holdfast(*FLAWED, "--kills", "2", "--kill-seed", "1", "--workers-after", "1", "--json")
    document = json.loads(out)
    assert (code, document["equal"], document["first_difference"]) == (0, True, None)
    assert [kill["after_step"] for kill in document["kills"]] == [2, 4]
    assert [kill["went_on_from"] for kill in document["kills"]] == [1, 3]


def test_the_hash_depends_on_the_training_alone(holdfast, forks):
    hashes = [
        json.loads(holdfast(*FLAWED, "--json", *options)[1])["hash"]
        for options in (["--kill-at", "3"], ["--kill-at", "4", "--workers-after", "1"])
    ]
    assert hashes[0] == hashes[1]


def test_a_resume_that_had_nothing_to_go_on_from_is_said(holdfast, forks):
    code, out, _ = holdfast(*FLAWED, "--kill-at", "1")
    assert code == 0
    assert "note: there was no checkpoint to go on from" in out


@pytest.mark.parametrize("flaw,first", [("scheduler", ("scheduler", 5)), ("untracked", ("weights", 6)), ("", None)])
def test_a_script_with_a_loop_of_its_own_is_proved(holdfast, forks, monkeypatch, flaw, first):
    monkeypatch.setenv("FLAW", flaw)
    code, out, _ = holdfast("prove", "--kill-at", "6", "--json", *SCRIPT)
    found = json.loads(out)["first_difference"]
    assert code == (1 if first else 0)
    assert (found and (found["part"], found["step"])) == first
    assert not Path("runs").exists()


@pytest.mark.long
@pytest.mark.parametrize("step", range(1, 11))
def test_every_step_is_proved(holdfast, step):
    code, out, _ = holdfast(
        *FLAWED, "--epochs", "2", "--kill-at", step, "--save-interval", "1 step", "--workers-after", "2"
    )
    assert code == 0, out


@pytest.mark.long
def test_a_script_is_proved_with_real_processes(holdfast):
    code, out, _ = holdfast("prove", "--kills", "2", "--kill-seed", "5", *SCRIPT)
    assert code == 0, out


@pytest.mark.long
def test_a_built_in_system_is_proved(holdfast):
    assert holdfast("make-data", "glint", "eyes", "--samples", "64")[0] == 0
    words = ["--preset", "tiny", "--data-path", "eyes", "--epochs", "1", "--subset-size", "32"]
    code, out, _ = holdfast("prove", "glint", *words, "--kills", "1")
    assert code == 0, out
