import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import RunError
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name

FILES = {"config.yaml": "seed: 1\n", "config.json": '{"seed": 1}', "code/system.py": b"pass\n"}


def create(path, files=FILES, *, numbered=False):
    return RunFolder.create(path, files, numbered=numbered)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def start(script):
    """Starts a Python process and gives it when it has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_new_run_has_its_files_and_no_neighbours(tmp_path):
    run = create(tmp_path / "runs" / "group" / "mine")
    assert (run.path / "code" / "system.py").read_bytes() == b"pass\n"
    assert (run.path / "config.yaml").read_text() == "seed: 1\n"
    assert run.config_values() == {"seed": 1}
    assert names_in(tmp_path / "runs" / "group") == ["mine"]
    assert run.name == "mine"


def test_an_existing_run_is_refused_with_the_two_ways_out(tmp_path):
    path = create(tmp_path / "mine").path
    with pytest.raises(RunError) as refusal:
        create(path, {"config.yaml": "seed: 2\n"})
    assert str(refusal.value) == (
        f"`mine` must be a new run, but got one that exists already: {path}; to go on with it add --resume auto or "
        f"use `holdfast resume {path}`; for a new run choose another --name."
    )
    assert (path / "config.yaml").read_text() == "seed: 1\n"
    assert names_in(tmp_path) == ["mine"]


def test_a_folder_of_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds something else than a run"):
        create(tmp_path / "mine")
    assert names_in(tmp_path / "mine") == ["thesis.tex"]


def test_an_equal_automatic_name_gets_the_next_number(tmp_path):
    (tmp_path / "mine-3").write_text("a file in the way")
    made = [create(tmp_path / "mine", numbered=True).name for _ in range(3)]
    assert made == ["mine", "mine-2", "mine-4"]


def test_an_existing_empty_folder_is_taken_over_also_behind_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "disk")
    assert create(tmp_path / "mine").config_values() == {"seed": 1}
    assert "config.yaml" in names_in(tmp_path / "disk")


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="must not be the current folder"):
        create(tmp_path)


def test_a_file_in_the_way_of_the_root_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(RunError) as refusal:
        create(tmp_path / "runs" / "group" / "mine")
    assert str(refusal.value) == (
        f"`{tmp_path}/runs/group/mine` must be a place where a run can be created, but got 'File exists' for "
        f"{tmp_path}/runs; choose another with --output-dir or --name."
    )
    assert names_in(tmp_path) == ["runs"]


def test_a_name_that_is_too_long_leaves_no_parents_behind(tmp_path):
    with pytest.raises(RunError, match="File name too long"):
        create(tmp_path / "group" / ("x" * 300))
    assert names_in(tmp_path) == []


def test_an_error_while_the_files_are_written_leaves_nothing(tmp_path):
    with pytest.raises(RunError, match="must be a place where a run can be created"):
        create(tmp_path / "mine", {"config.yaml": "", "config.yaml/below": ""})
    assert names_in(tmp_path) == []


KILLED = """
import os, sys, time
from pathlib import Path
from holdfast.run import creating
from holdfast.run.folder import RunFolder
def stop(*arguments):
    print("ready", flush=True)
    time.sleep(60)
{patch}
RunFolder.create(Path({path!r}), {{"config.yaml": "", "config.json": ""}}, numbered=False)
"""


@pytest.mark.parametrize("patch", ["creating._write_files = stop", "creating._rename = lambda *a, **k: stop()"])
def test_a_killed_creation_leaves_no_run_and_is_cleaned_up_by_the_next(tmp_path, patch):
    kill(start(KILLED.format(path=str(tmp_path / "mine"), patch=patch)))
    assert not RunFolder.is_run(tmp_path / "mine")
    (leftover,) = names_in(tmp_path)
    assert leftover.startswith(".mine.creating-")
    create(tmp_path / "other")
    assert names_in(tmp_path) == ["other"]


def test_the_unfinished_run_of_a_living_process_is_left_alone(tmp_path):
    process = start(KILLED.format(path=str(tmp_path / "mine"), patch="creating._rename = lambda *a, **k: stop()"))
    try:
        create(tmp_path / "other")
        assert names_in(tmp_path) == [f".mine.creating-{process.pid}", "other"]
    finally:
        kill(process)


HOLDER = """
import time
from pathlib import Path
from holdfast.run.folder import RunFolder, Status
run = RunFolder(Path({path!r}))
with run.lock():
    run.write_status(Status(state="running", epoch=3))
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_run_in_use_is_refused_naming_the_process_until_that_is_killed(tmp_path):
    run = create(tmp_path / "mine")
    process = start(HOLDER.format(path=str(run.path)))
    try:
        assert run.is_running()
        assert (run.read_status().state, run.read_status().epoch) == ("running", 3)
        with pytest.raises(RunError, match=rf"but process {process.pid} on .* has it; wait for it or stop it\.$"):
            run.lock().__enter__()
    finally:
        kill(process)
    assert not run.is_running()
    assert (run.read_status().state, run.read_status().epoch) == ("interrupted", 3)
    with run.lock():
        assert run.is_running()
    assert not run.is_running()


def test_a_folder_that_is_no_run_cannot_be_opened(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(RunError, match=r"must be a run folder, but got one without config\.yaml and config\.json"):
        RunFolder.open(tmp_path)


def test_a_moved_run_is_the_same_run(tmp_path):
    run = create(tmp_path / "mine")
    run.write_status(Status(state="finished", epoch=2))
    shutil.move(run.path, tmp_path / "yours")
    moved = RunFolder.open(tmp_path / "yours")
    assert (moved.read_status().state, moved.read_status().epoch) == ("finished", 2)


def test_a_run_is_found_again_after_the_program_changed_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = create(tmp_path.relative_to(tmp_path) / "mine")
    monkeypatch.chdir("/")
    assert run.config_values() == {"seed": 1}


def test_the_only_stage_has_no_folder_of_its_own(tmp_path):
    run = create(tmp_path / "mine")
    assert run.checkpoints("train") == tmp_path / "mine" / "checkpoints"
    assert run.checkpoints("dense") == tmp_path / "mine" / "checkpoints" / "dense"
    assert run.logs("dense") == tmp_path / "mine" / "logs" / "dense"


def test_a_changed_configuration_replaces_both_files(tmp_path):
    run = create(tmp_path / "mine")
    run.write_config("seed: 1\nepochs: 20\n", {"seed": 1, "epochs": 20})
    assert (run.path / "config.yaml").read_text() == "seed: 1\nepochs: 20\n"
    assert (run.path / "config.json").read_text() == '{\n    "seed": 1,\n    "epochs": 20\n}\n'


def test_a_damaged_configuration_is_named_with_the_way_out(tmp_path):
    run = create(tmp_path / "mine", {"config.yaml": "", "config.json": '{"seed"'})
    with pytest.raises(RunError, match=r"config\.json` must hold .*; restore it from config\.yaml"):
        run.config_values()


def test_sessions_are_added_to_the_provenance(tmp_path):
    run = create(tmp_path / "mine", {**FILES, "provenance.json": '{"seed": 1}'})
    run.add_session({"command": ["a"]})
    run.add_session({"command": ["b"]})
    document = json.loads((run.path / "provenance.json").read_text())
    assert document == {"seed": 1, "sessions": [{"command": ["a"]}, {"command": ["b"]}]}


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"sessions": 1}'])
def test_a_damaged_provenance_is_set_aside(tmp_path, damaged):
    run = create(tmp_path / "mine", {**FILES, "provenance.json": damaged})
    run.add_session({"command": ["a"]})
    assert json.loads((run.path / "provenance.json").read_text()) == {"sessions": [{"command": ["a"]}]}
    assert (run.path / "provenance.json.damaged").read_text() == damaged


def test_a_status_reads_back_as_it_was_written(tmp_path):
    run = create(tmp_path / "mine")
    status = Status(
        state="failed", stage="dense", epoch=2, step=9, samples=70, total=4, best_name="val/f1", best=0.5, message="ä"
    )
    run.write_status(status)
    assert run.read_status() == status


def test_an_infinite_best_is_written_as_json_can_hold_it(tmp_path):
    assert json.loads(Status(state="finished", best=float("inf")).to_json())["best"] is None


@given(st.binary(max_size=30) | st.sampled_from([b'{"state": "running", "epoch": "x"}', b'{"state": "odd"}', b"[]"]))
def test_a_damaged_status_reads_as_interrupted_in_the_stage_that_saved_last(tmp_path_factory, damaged):
    run = create(tmp_path_factory.mktemp("damaged") / "mine", {**FILES, "status.json": damaged})
    assert (run.read_status().state, run.read_status().stage) == ("interrupted", "train")
    for stage, time in [("structural", 100), ("dense", 200)]:
        run.checkpoints(stage).mkdir(parents=True)
        (run.checkpoints(stage) / "checkpoint_latest.pth").touch()
        os.utime(run.checkpoints(stage) / "checkpoint_latest.pth", (time, time))
    assert run.read_status().stage == "dense"


def test_an_automatic_name_lists_the_values_and_the_time():
    values = [("model.T", 10), ("training.lr", 1e-3), ("loss.lamb", 1e-4)]
    now = datetime(2025, 1, 14, 15, 30, 45)
    assert automatic_name("VGGSNN", values, now) == "VGGSNN_T10_lr0.001_lamb0.0001_20250114_153045"


def test_an_automatic_name_replaces_what_a_name_cannot_hold():
    name = automatic_name("my.module:net", [("data.path", "/data/x.h5"), ("sizes", [1, 2])], datetime(2025, 1, 2))
    assert name == "my.module-net_path-data-x.h5_sizes-1-2-_20250102_000000"


@given(st.text(), st.lists(st.tuples(st.text(), st.integers() | st.text() | st.none())))
def test_every_automatic_name_is_a_good_name(label, values):
    name = automatic_name(label, values, datetime(2025, 1, 2))
    check_name(name)
    assert "/" not in name
    assert len(name) < 220


@pytest.mark.parametrize("name", ["mine", "group/mine", "a/b/c-2", "größe 3", "v1.2", "console", "lr=1e-3,T=4"])
def test_ordinary_names_and_groups_are_fine(name):
    check_name(name)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("", "a part of it is empty"),
        ("/mine", "a part of it is empty"),
        ("group//mine", "a part of it is empty"),
        ("../mine", "'..' is no name"),
        ("./mine", "'.' is no name"),
        (".mine", "'.mine' begins with '.'"),
        ("-x", "'-x' begins with '-'"),
        ("mine.", "'mine.' ends with '.'"),
        ("mine /a", "'mine ' ends with ' '"),
        ("a:b", "'a:b' has the character ':'"),
        ("a\\b", r"'a\\b' has the character '\\'"),
        ("a\nb", r"'a\nb' has the character '\n'"),
        ("group/Con", "'Con' is reserved on Windows"),
        ("nul.txt", "'nul.txt' is reserved on Windows"),
    ],
)
def test_names_that_some_file_system_cannot_hold_are_refused_by_part(name, wrong):
    with pytest.raises(RunError) as refusal:
        check_name(name)
    assert wrong in str(refusal.value)
