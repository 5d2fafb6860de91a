"""A run of several stages in one command: killed anywhere, it ends in the bits of the uninterrupted one."""

import json
import signal

import pytest

from holdfast.checkpoint import archive
from holdfast.launch import running
from tests.faults.calls import Calls, kills
from tests.processes import forked, result, signal_after_step
from tests.resume.blows import At, InEvaluation

STAGES = """
system: tests.tiny:system
logging: {log_interval: 1}
training: {save_interval: 1 epoch}
stages:
  - {name: narrow, epochs: 2, model: {dropout: 0.4}}
  - {name: wide, epochs: 2, init_from: best_narrow.pth, training: {lr: 0.01}}
"""
NAMES = ("narrow", "wide")


@pytest.fixture
def exp(here):
    (here / "exp.yaml").write_text(STAGES)
    return here


def train(name, *options, **kwargs):
    return forked(["train", "--config", "exp.yaml", "--name", name, *options], **kwargs)


def results(here, name):
    return [result(here / "runs" / name, stage) for stage in NAMES]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    here = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        (here / "exp.yaml").write_text(STAGES)
        assert train("whole") == 0
        return results(here, "whole")


def in_stage(name, blow):
    """Gives what strikes in one stage only."""

    def prepare():
        train_stage = running.train_stage

        def struck(place, store, training, *args, **named):
            if training.clock.stage == name:
                blow()
            return train_stage(place, store, training, *args, **named)

        running.train_stage = struck

    return prepare


def test_the_second_stage_begins_with_the_best_of_the_first(exp):
    assert train("run", prepare=in_stage("wide", signal_after_step(1))) == -signal.SIGKILL
    folder = exp / "runs" / "run" / "checkpoints"
    best = archive.read(folder / "narrow" / "checkpoint_best.pth")
    first = archive.read(folder / "wide" / "checkpoint_latest.pth")
    assert first["step"] == 0
    assert all((first["model_state_dict"][name] == value).all() for name, value in best["model_state_dict"].items())
    report = json.loads((exp / "runs" / "run" / "logs" / "wide" / "init_from.json").read_text())
    assert report["share"] == 1.0
    assert report["new"] == []


STRIKES = [
    *[(stage, At(moment)) for stage in NAMES for moment in range(1, 13)],
    *[(stage, InEvaluation(moment)) for stage in NAMES for moment in (6, 12)],
]


@pytest.mark.parametrize(
    "stage,blow",
    [
        pytest.param(*case, marks=[] if case in (("narrow", At(12)), ("wide", At(3))) else [pytest.mark.long])
        for case in STRIKES
    ],
    ids=str,
)
def test_a_run_killed_in_any_stage_ends_with_the_same_bits(exp, whole, stage, blow):
    assert train("killed", prepare=in_stage(stage, blow)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert results(exp, "killed") == whole


def between_stages(number):
    """Gives what kills a process at one of the calls of the system between two stages."""

    def prepare():
        train_stage = running.train_stage

        def then_killed(place, *args, **named):
            outcome = train_stage(place, *args, **named)
            Calls(place.folder.path, kills(number)).install()
            return outcome

        running.train_stage = then_killed

    return prepare


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n in (1, 12) else [pytest.mark.long]) for n in range(1, 60)]
)
def test_a_run_killed_between_two_stages_ends_with_the_same_bits(exp, whole, number):
    assert train("killed", prepare=between_stages(number)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert results(exp, "killed") == whole


def test_a_run_with_stages_that_is_stopped_exits_143_and_resumes_with_what_the_command_line_said(exp):
    assert train("whole", "--epochs", "1") == 0
    assert train("stopped", "--epochs", "1", prepare=signal_after_step(2, signal.SIGTERM)) == 143
    assert forked(["resume", "stopped"]) == 0
    assert results(exp, "stopped") == results(exp, "whole")


def test_rows_of_the_journal_count_over_all_stages(exp):
    assert train("run", "--no-tensorboard") == 0
    rows = []
    for stage in NAMES:
        lines = (exp / "runs" / "run" / "logs" / stage / "metrics.jsonl").read_text().splitlines()
        rows += [json.loads(line) for line in lines]
    steps = [(row["stage"], row["run_step"]) for row in rows if row["kind"] == "step"]
    assert steps == [("narrow", step) for step in range(1, 11)] + [("wide", step) for step in range(11, 21)]


def test_finished_stages_are_not_trained_again_and_a_finished_run_says_so(exp):
    assert train("run") == 0
    before = results(exp, "run")
    assert forked(["resume", "run"]) == 0
    assert results(exp, "run") == before
    log = (exp / "output.log").read_text()
    assert "the stage narrow is complete" in log


def test_a_stage_is_added_to_a_run_and_then_belongs_to_it(exp, whole):
    assert train("run", "--stage", "narrow") == 0
    assert not (exp / "runs" / "run" / "checkpoints" / "wide").exists()
    assert json.loads((exp / "runs" / "run" / "status.json").read_text())["state"] == "finished"
    assert forked(["train", "--resume", "run", "--stage", "wide"]) == 0
    assert results(exp, "run") == whole


def test_an_explicit_init_from_wins_over_that_of_the_stage(exp):
    assert train("source") == 0
    assert train("run", "--stage", "wide", "--init-from", "source") == 0
    origin = json.loads((exp / "runs" / "run" / "provenance.json").read_text())["init_from"]
    assert origin["path"].endswith("source/checkpoints/wide/checkpoint_best.pth")


def test_a_run_that_goes_on_from_an_older_checkpoint_of_a_stage_has_the_stages_before_it(exp, whole):
    assert train("run", "--epochs", "3") == 0
    older = "runs/run/checkpoints/wide/checkpoint_epoch2.pth"
    assert forked(["resume", older]) == 0
    found, expected = results(exp, "run-2"), results(exp, "run")
    # Only the checkpoint that it goes on from has come along.
    del found[1]["files"], expected[1]["files"]
    assert found == expected


def test_a_run_that_is_rewound_into_its_first_stage_trains_the_second_anew(exp):
    assert train("run", "--epochs", "3") == 0
    before = results(exp, "run")
    assert forked(["resume", "runs/run/checkpoints/narrow/checkpoint_epoch2.pth", "--rewind"]) == 0
    assert forked(["resume", "run"]) == 0
    assert (exp / "runs/run/checkpoints/wide/checkpoint_epoch3.pth.rewound").exists()
    assert results(exp, "run") == before
