import csv
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from holdfast.clock import Clock
from holdfast.run.journal import Journal, read_rows
from holdfast.run.observer import EpochReport, StepReport

STEPS_PER_EPOCH, EPOCHS = 5, 3
EVENTS = (STEPS_PER_EPOCH + 1) * EPOCHS
PICTURE = np.full((4, 6, 3), 200, dtype=np.uint8)


def open_journal(folder, position=None, tensorboard=True, log_interval=2):
    return Journal(folder, tensorboard=tensorboard, log_interval=log_interval, position=position)


def step_report(step, **changes):
    clock = Clock(epoch=(step - 1) // STEPS_PER_EPOCH, step=step, samples=4 * step)
    values = {"clock": clock, "samples": 4, "loss": 1 / step, "parts": {"Mask": step / 3}, "rate": 0.1 / step}
    return StepReport(**{**values, **changes})


def epoch_report(epoch, **changes):
    step = epoch * STEPS_PER_EPOCH
    values = {
        "clock": Clock(epoch=epoch, step=step, samples=4 * step),
        "rate": 0.1 / step,
        "train": {"Loss": 2 / epoch, "Acc1": 10.0 * epoch},
        "val": {"Loss": 3 / epoch, "F1": epoch / 10} if epoch > 1 else {},
        "is_best": epoch == 2,
        "best": 0.2,
    }
    return EpochReport(**{**values, **changes})


def tell(journal, start, stop):
    """Tells a journal what happens in a small run: five steps and the end of the epoch, three times."""
    for event in range(start, stop):
        epoch, place = divmod(event, STEPS_PER_EPOCH + 1)
        if place < STEPS_PER_EPOCH:
            journal.after_step(step_report(epoch * STEPS_PER_EPOCH + place + 1))
        else:
            journal.after_epoch(epoch_report(epoch + 1), {"Masks": PICTURE})


def read_events(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    curves = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in tags["scalars"]}
    pictures = {tag: [(one.step, one.width, one.height) for one in events.Images(tag)] for tag in tags["images"]}
    return curves, pictures


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    journal = open_journal(folder)
    tell(journal, 0, EVENTS)
    journal.close()
    return folder


def assert_equal_records(folder, expected):
    for name in ("metrics.jsonl", "metrics.csv"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    assert read_events(folder) == read_events(expected)


moments = st.tuples(st.integers(0, EVENTS), st.integers(0, EVENTS)).map(sorted)


@settings(max_examples=60, deadline=None)
@given(st.lists(moments, max_size=4))
def test_an_interrupted_run_records_what_the_uninterrupted_one_does(tmp_path_factory, uninterrupted, interruptions):
    folder = tmp_path_factory.mktemp("interrupted")
    saved_at, position = 0, None
    journal = open_journal(folder, position)
    for save, crash in interruptions:
        if save >= saved_at:
            tell(journal, saved_at, save)
            saved_at, position = save, json.loads(json.dumps(journal.position()))
        tell(journal, saved_at, max(crash, saved_at))
        # No close: the process is gone.
        journal = open_journal(folder, position)
    tell(journal, saved_at, EVENTS)
    journal.close()
    assert_equal_records(folder, uninterrupted)


def test_a_killed_process_leaves_what_it_was_told_and_can_be_continued(tmp_path, uninterrupted):
    script = f"""
import json, sys, time
sys.path.insert(0, {str(os.getcwd())!r})
from pathlib import Path
from tests.run.test_journal import open_journal, tell
journal = open_journal(Path({str(tmp_path)!r}), tensorboard=False)
tell(journal, 0, 8)
print(json.dumps(journal.position()), flush=True)
tell(journal, 8, 11)
print("told", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        position = json.loads(process.stdout.readline())
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGKILL)
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [2, 4, 5, 6, 8, 10]
    journal = open_journal(tmp_path, position, tensorboard=False)
    tell(journal, 8, EVENTS)
    journal.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()


def test_each_row_says_what_was_measured_and_when_by_the_clock(uninterrupted):
    rows = read_rows(uninterrupted / "metrics.jsonl")
    assert [(row["kind"], row["step"]) for row in rows] == [
        *[("step", 2), ("step", 4), ("epoch", 5)],
        *[("step", 6), ("step", 8), ("step", 10), ("epoch", 10)],
        *[("step", 12), ("step", 14), ("epoch", 15)],
    ]
    assert rows[0] == {
        **{"kind": "step", "stage": "train", "epoch": 0, "step": 2, "samples": 8, "lr": 0.05},
        **{"loss": 0.5, "parts/mask": 2 / 3},
    }
    assert rows[6] == {
        **{"kind": "epoch", "stage": "train", "epoch": 2, "step": 10, "samples": 40, "lr": 0.01},
        **{"train/loss": 1.0, "train/acc1": 20.0, "val/loss": 1.5, "val/f1": 0.2, "is_best": True},
    }


def test_curves_are_drawn_over_finished_epochs_and_steps(uninterrupted):
    curves, pictures = read_events(uninterrupted)
    assert {tag: [x for x, _ in points] for tag, points in curves.items()} == {
        "Train/Loss": [1, 2, 3],
        "Train/Acc1": [1, 2, 3],
        "Val/Loss": [2, 3],
        "Val/F1": [2, 3],
        "LR": [1, 2, 3],
        "Step/Loss": [2, 4, 6, 8, 10, 12, 14],
        "Step/Mask": [2, 4, 6, 8, 10, 12, 14],
        "Step/LR": [2, 4, 6, 8, 10, 12, 14],
    }
    assert curves["Train/Acc1"] == [(1, 10.0), (2, 20.0), (3, 30.0)]
    assert pictures == {"Image/Masks": [(5, 6, 4), (10, 6, 4), (15, 6, 4)]}


def test_the_table_has_the_epochs_under_the_union_of_their_columns(uninterrupted):
    with (uninterrupted / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["val/f1"] for row in rows] == ["", "0.2", "0.3"]
    assert "kind" not in rows[0]


def test_a_value_that_is_no_number_is_null(tmp_path):
    journal = open_journal(tmp_path, tensorboard=False)
    journal.after_step(step_report(2, loss=float("nan"), parts={"a": float("inf")}, gradient_norm=float("-inf")))
    journal.close()
    (row,) = read_rows(tmp_path / "metrics.jsonl")
    assert (row["loss"], row["parts/a"], row["gradient_norm"]) == (None, None, None)


def test_a_fresh_start_removes_what_an_earlier_attempt_left_but_not_the_log(tmp_path):
    journal = open_journal(tmp_path)
    tell(journal, 0, 9)
    (tmp_path / "train.log").write_text("what happened")
    journal = open_journal(tmp_path)
    journal.close()
    assert read_events(tmp_path) == ({}, {})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    assert not (tmp_path / "metrics.csv").exists()
    assert (tmp_path / "train.log").exists()
    assert len(list(tmp_path.glob("events*"))) == 1


def test_a_moved_folder_is_continued(tmp_path, uninterrupted):
    journal = open_journal(tmp_path / "here")
    tell(journal, 0, 7)
    position = journal.position()
    shutil.move(tmp_path / "here", tmp_path / "there")
    journal = open_journal(tmp_path / "there", position)
    tell(journal, 7, EVENTS)
    journal.close()
    assert_equal_records(tmp_path / "there", uninterrupted)


def test_curves_keep_their_order_when_the_clock_of_the_machine_goes_back(tmp_path, uninterrupted, monkeypatch):
    journal = open_journal(tmp_path)
    tell(journal, 0, 7)
    position = journal.position()
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    journal = open_journal(tmp_path, position)
    tell(journal, 7, EVENTS)
    journal.close()
    assert len(list(tmp_path.glob("events*"))) == 2
    assert_equal_records(tmp_path, uninterrupted)


def test_files_that_lost_their_end_are_not_filled_up_with_zeros(tmp_path):
    journal = open_journal(tmp_path, tensorboard=False)
    tell(journal, 0, 9)
    position = journal.position()
    path = tmp_path / "metrics.jsonl"
    os.truncate(path, path.stat().st_size - 3)
    journal = open_journal(tmp_path, position, tensorboard=False)
    journal.after_step(step_report(10))
    journal.close()
    assert [row["step"] for row in read_rows(path)] == [2, 4, 5, 6, 10]


def test_curves_can_be_switched_off_on_resume_and_keep_what_they_had(tmp_path):
    journal = open_journal(tmp_path)
    tell(journal, 0, 6)
    position = journal.position()
    tell(journal, 6, 9)
    open_journal(tmp_path, position, tensorboard=False).close()
    curves, _ = read_events(tmp_path)
    assert [x for x, _ in curves["Step/Loss"]] == [2, 4]


def test_the_unfinished_last_epoch_of_a_run_in_steps_has_the_next_number(tmp_path):
    journal = open_journal(tmp_path)
    tell(journal, 0, 6)
    journal.after_epoch(epoch_report(1, clock=Clock(epoch=1, step=7, samples=28)), {})
    journal.close()
    assert [x for x, _ in read_events(tmp_path)[0]["LR"]] == [1, 2]


def test_hyperparameters_stand_in_the_same_folder_beside_the_metrics_curves(tmp_path):
    journal = open_journal(tmp_path)
    tell(journal, 0, EVENTS)
    journal.finish({"training.lr": 1e-3, "data.path": None, "data.sizes": [1, 2], "amp": False}, {"val/F1": 0.3})
    journal.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.summary_metadata) == [
        "_hparams_/experiment",
        "_hparams_/session_end_info",
        "_hparams_/session_start_info",
    ]
    start = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"training.lr" in start
    assert b"[1, 2]" in start
    assert b"Val/F1" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_full_disk_stops_no_step_and_leaves_no_gap(tmp_path, uninterrupted, monkeypatch):
    journal = open_journal(tmp_path)
    tell(journal, 0, 4)
    write = os.write
    half = itertools.cycle([True, False])

    def full(descriptor, content):
        if next(half):
            return write(descriptor, bytes(content[:7]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        tell(journal, 4, 14)
        with pytest.raises(OSError, match="No space left"):
            journal.position()
    tell(journal, 14, EVENTS)
    journal.close()
    assert_equal_records(tmp_path, uninterrupted)


def test_the_face_of_the_room_imports_no_torch():
    script = "import sys, holdfast.run; print('torch' in sys.modules, 'tensorboard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_the_names_of_the_room_are_sorted():
    import holdfast.run

    assert holdfast.run.__all__ == sorted(holdfast.run.__all__)
