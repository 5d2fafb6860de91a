"""What a person may ask of a resume: older checkpoints, other lengths, time limits, other platforms."""

import json
import signal

import pytest

from holdfast.cli.main import run as command_line
from holdfast.clock import parse_duration
from holdfast.engine import interruption as interruptions
from holdfast.run.folder import RunFolder
from holdfast.run.journal import read_rows
from tests.processes import forked, result, signal_after_step

TRAIN = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "2"]


def train(name, *options, **kwargs):
    return forked([*TRAIN, "--name", name, *options], **kwargs)


def output(here):
    return (here / "output.log").read_text()


def test_an_older_checkpoint_goes_on_as_a_run_of_its_own_with_the_history_up_to_there(here):
    assert train("first") == 0
    before = result(here / "runs" / "first")
    assert forked(["resume", "runs/first/checkpoints/checkpoint_epoch1.pth"]) == 0
    assert result(here / "runs" / "first") == before
    again = result(here / "runs" / "first-2")
    assert {name: again[name] for name in again if name != "files"} == {n: before[n] for n in before if n != "files"}
    assert json.loads((here / "runs/first-2/provenance.json").read_text())["forked_from"]["checkpoint"] == (
        "checkpoint_epoch1.pth"
    )


def test_rewind_goes_on_in_place_and_sets_the_later_ones_aside(here):
    assert train("first") == 0
    before = result(here / "runs" / "first")
    place = here / "runs" / "first" / "checkpoints"
    assert forked(["resume", str(place / "checkpoint_epoch1.pth"), "--rewind"]) == 0
    assert result(here / "runs" / "first") == before
    assert (place / "checkpoint_epoch3.pth.rewound").exists()
    assert [row["epoch"] for row in read_rows(place.parent / "logs" / "metrics.jsonl") if row["kind"] == "epoch"] == [
        1,
        2,
        3,
    ]


def rates(here, name):
    rows = read_rows(here / "runs" / name / "logs" / "metrics.jsonl")
    return [round(row["lr"], 6) for row in rows if row["kind"] == "epoch"]


def test_an_extended_run_gets_its_schedule_for_the_new_length_unless_it_is_kept(here):
    options = ["--schedule", "{name: linear, each: epoch}", "--lr", "0.04", "--epochs", "2"]
    assert train("new", *options) == 0
    assert train("kept", *options) == 0
    assert forked(["resume", "new", "--epochs", "4"]) == 0
    assert forked(["resume", "kept", "--epochs", "4", "--keep-schedule"]) == 0
    assert rates(here, "new") == [0.04, 0.02, 0.02, 0.01]
    assert rates(here, "kept") == [0.04, 0.02, 0.0, 0.0]


def test_a_changed_rate_is_applied_and_printed_as_a_difference(here):
    assert train("first", "--epochs", "1", "--lr", "0.05") == 0
    assert forked(["resume", "first", "--epochs", "2", "--lr", "0.01"]) == 0
    assert "changed: training.lr from 0.05 to 0.01" in output(here)
    assert rates(here, "first") == [0.05, 0.01]


def test_a_time_limit_stops_with_a_checkpoint_and_exit_code_3_and_the_run_goes_on(here):
    assert train("whole", "--epochs", "40") == 0
    assert train("limited", "--epochs", "40", "--data.pause", "0.01", "--time-limit", "4s") == 3
    stopped_at = RunFolder(here / "runs" / "limited").read_status()
    assert (stopped_at.state, stopped_at.step > 0, stopped_at.step < 200) == ("interrupted", True, True)


def test_the_limit_leaves_time_for_the_next_stretch_of_work_and_for_a_save():
    now = [0.0]
    limit = interruptions.Interruption(10.0, now=lambda: now[0])
    limit.reserve = 2.0
    for moment in (1.0, 4.0, 4.5):
        now[0] = moment
        limit.check()
    now[0] = 5.5
    with pytest.raises(interruptions.Interrupted, match="time limit"):
        limit.check()


@pytest.mark.parametrize(
    "text,seconds", [("3h30m", 12600), ("45m", 2700), ("90s", 90), ("1:30:00", 5400), ("2 d", 172800), ("15", 15)]
)
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["soon", "3x", "", "-5m", "0"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="must be a time such as 3h30m"):
        parse_duration(text)


def test_another_platform_is_said_in_one_line(here, monkeypatch):
    assert train("first", "--epochs", "1") == 0

    def another_torch():
        from holdfast.launch import going_on

        facts = going_on.platform_facts
        going_on.platform_facts = lambda device: {**facts(device), "torch": "9.9"}

    assert forked(["resume", "first", "--epochs", "2"], prepare=another_torch) == 0
    lines = [line for line in output(here).splitlines() if line.startswith("not exact from here on")]
    assert len(lines) == 1
    assert "-> 9.9" in lines[0]


def test_a_loss_that_explodes_names_step_parts_and_checkpoint_and_writes_down_the_samples(here, capfd):
    code = command_line([*TRAIN, "--name", "boom", "--loss", "{explode_at: 7}"])
    error = capfd.readouterr().err
    assert code == 1
    assert "the loss of step 7 must be finite, but got inf, size" in error
    assert "the last good checkpoint is" in error
    note = json.loads((here / "runs/boom/checkpoints/nonfinite_step7.json").read_text())
    assert (note["step"], note["epoch"], len(note["samples"])) == (7, 2, 4)
    assert RunFolder(here / "runs" / "boom").read_status().state == "failed"


def test_a_sample_that_raises_is_named_and_the_run_can_go_on(here, capfd):
    code = command_line([*TRAIN, "--name", "torn", "--data.bad", "13"])
    error = capfd.readouterr().err
    assert code == 1
    assert "sample 13, but it raised ValueError: torn image" in error
    assert "holdfast resume" in error


def test_a_killed_loader_worker_is_a_clear_error_and_the_run_can_go_on(here):
    assert train("whole") == 0

    def kill_a_worker():
        import multiprocessing
        import os

        from holdfast.engine import train as loop

        whole = loop.take_step

        def take_step(training, batch):
            whole(training, batch)
            if training.clock.step == 6:
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

        loop.take_step = take_step

    assert train("killed", "--workers", "1", "--data.pause", "0.01", prepare=kill_a_worker) == 1
    assert "the loader workers must live as long as the run" in output(here)
    assert forked(["resume", "killed"]) == 0
    whole, killed = result(here / "runs" / "whole"), result(here / "runs" / "killed")
    assert whole["model_state_dict"] == killed["model_state_dict"]


def test_a_run_without_optimizer_state_says_so_and_starts_it_anew(here):
    assert train("first", "--no-save-optimizer", prepare=signal_after_step(8)) == -signal.SIGKILL
    assert forked(["resume", "first", "--lr", "0.02"]) == 0
    assert "has no optimizer state" in output(here)
    assert "the optimizer starts anew at rate 0.02" in output(here)
