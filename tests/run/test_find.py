import json
import os
import time

import pytest

from holdfast.errors import RunError
from holdfast.run.find import find_checkpoint, find_run, list_runs
from holdfast.run.folder import RunFolder, Status


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.delenv("HOLDFAST_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path, *checkpoints, stage="train", **status):
    """Makes a run with empty checkpoint files, each a second newer than the one before."""
    files = {"config.yaml": "", "config.json": "{}"}
    run = RunFolder.create(path, files, numbered=False)
    run.write_status(Status(**{"state": "finished", "stage": stage, **status}))
    add(run, stage, *checkpoints)
    return run


def add(run, stage, *checkpoints):
    folder = run.checkpoints(stage)
    folder.mkdir(parents=True, exist_ok=True)
    for age, name in enumerate(reversed(checkpoints)):
        (folder / name).write_text(name)
        os.utime(folder / name, (time.time() - age, time.time() - age))


def test_a_run_is_found_by_its_folder_a_file_in_it_and_its_name(workplace):
    run = make(workplace / "runs" / "group" / "mine", "checkpoint_latest.pth").path
    for text in (
        str(run),
        "runs/group/mine/",
        "runs/group/mine/checkpoints",
        "runs/group/mine/checkpoints/checkpoint_latest.pth",
        "group/mine",
        "mine",
    ):
        assert find_run(text).resolve() == run


@pytest.mark.parametrize("root", ["runs", "results", "outputs", "elsewhere"])
def test_names_are_looked_for_under_the_known_roots_and_the_one_of_the_environment(workplace, monkeypatch, root):
    monkeypatch.setenv("HOLDFAST_RUNS", str(workplace / "elsewhere"))
    run = make(workplace / root / "mine").path
    assert find_run("mine").resolve() == run


def test_a_name_beats_an_unrelated_folder_of_the_same_name(workplace):
    (workplace / "mine").mkdir()
    run = make(workplace / "runs" / "mine").path
    assert find_run("mine").resolve() == run


def test_a_last_part_that_several_runs_have_is_refused_with_their_names(workplace):
    make(workplace / "runs" / "a" / "mine")
    make(workplace / "results" / "b" / "mine")
    with pytest.raises(RunError, match="`mine` must name one run, but got several: a/mine, b/mine; give one"):
        find_run("mine")


def test_an_unknown_name_says_where_it_was_looked_for_and_what_is_near(workplace, monkeypatch):
    monkeypatch.setenv("HOLDFAST_RUNS", "/nowhere")
    make(workplace / "runs" / "group" / "glint_tiny")
    with pytest.raises(RunError) as refusal:
        find_run("glnt_tiny")
    assert str(refusal.value) == (
        "`glnt_tiny` must be a run, or a file in one, but got nothing of that name here or under /nowhere/, runs/, "
        "results/, outputs/; did you mean group/glint_tiny?"
    )


def test_a_project_with_a_config_of_its_own_is_no_run(workplace):
    (workplace / "config.yaml").touch()
    (workplace / "src").mkdir()
    with pytest.raises(RunError, match="got a path that is neither"):
        find_run("src")


def test_a_run_means_the_first_preferred_checkpoint_that_it_has(workplace):
    run = make(workplace / "runs" / "mine", "checkpoint_best.pth", "checkpoint_latest.pth")
    folder, stage, path = find_checkpoint("mine", choice=None, prefer=("best", "latest"))
    assert (folder.path, stage, path) == (run.path, "train", run.checkpoints("train") / "checkpoint_best.pth")
    (run.checkpoints("train") / "checkpoint_best.pth").unlink()
    path = find_checkpoint("mine", choice=None, prefer=("best", "latest"))[2]
    assert path == run.checkpoints("train") / "checkpoint_latest.pth"


def test_a_run_without_a_checkpoint_yet_has_none(workplace):
    make(workplace / "runs" / "mine")
    assert find_checkpoint("mine", choice=None, prefer=("latest",))[1:] == ("train", None)


def test_a_run_with_stages_means_the_one_that_ran_last(workplace):
    run = make(workplace / "runs" / "mine", "checkpoint_latest.pth", stage="dense")
    add(run, "structural", "checkpoint_latest.pth")
    assert find_checkpoint("mine", choice=None, prefer=("latest",))[1:] == (
        "dense",
        run.path / "checkpoints/dense/checkpoint_latest.pth",
    )
    for text in ("runs/mine/checkpoints/structural", "runs/mine/checkpoints/structural/checkpoint_latest.pth"):
        _, stage, path = find_checkpoint(text, choice=None, prefer=("latest",))
        assert path is not None
        assert (stage, path.resolve()) == ("structural", run.path / "checkpoints/structural/checkpoint_latest.pth")


@pytest.mark.parametrize(
    "name, native",
    [
        ("latest_checkpoint.pth", "checkpoint_latest.pth"),
        ("latest.pt", "checkpoint_latest.pth"),
        ("latest.pth", "checkpoint_latest.pth"),
        ("last.pth", "checkpoint_latest.pth"),
        ("best_model.pth", "checkpoint_best.pth"),
        ("best.pth", "checkpoint_best.pth"),
        ("checkpoint_epoch_10.pth", "checkpoint_epoch10.pth"),
        ("checkpoint_epoch_010.pth", "checkpoint_epoch10.pth"),
        ("checkpoint_epoch10.pth", "checkpoint_epoch10.pth"),
        ("best_structural.pth", "structural/checkpoint_best.pth"),
    ],
)
def test_names_of_other_projects_mean_the_native_file(workplace, name, native):
    run = make(workplace / "runs" / "mine", "checkpoint_epoch10.pth", "checkpoint_best.pth", "checkpoint_latest.pth")
    add(run, "structural", "checkpoint_best.pth")
    expected = run.path / "checkpoints" / native
    for text in (f"runs/mine/{name}", f"runs/mine/checkpoints/{name}", f"mine/{name}"):
        found = find_checkpoint(text, choice=None, prefer=("latest",))[2]
        assert found is not None
        assert found.resolve() == expected
    chosen = find_checkpoint("mine", choice=name, prefer=("latest",))[2]
    assert chosen == expected


def test_a_file_of_such_a_name_that_exists_is_meant_itself(workplace):
    run = make(workplace / "runs" / "mine", "best.pth", "checkpoint_best.pth")
    path = find_checkpoint("runs/mine/checkpoints/best.pth", choice=None, prefer=("latest",))[2]
    assert path is not None
    assert path.resolve() == run.path / "checkpoints/best.pth"


def test_a_choice_overrules_and_must_exist(workplace):
    run = make(workplace / "runs" / "mine", "checkpoint_epoch3.pth", "checkpoint_latest.pth")
    for text in ("mine", "runs/mine/checkpoints/checkpoint_epoch3.pth"):
        path = find_checkpoint(text, choice="latest", prefer=("best",))[2]
        assert path == run.checkpoints("train") / "checkpoint_latest.pth"
    by_path = find_checkpoint("mine", choice="runs/mine/checkpoints/checkpoint_epoch3.pth", prefer=("best",))[2]
    assert by_path is not None
    assert by_path.name == "checkpoint_epoch3.pth"
    with pytest.raises(RunError) as refusal:
        find_checkpoint("mine", choice="best", prefer=("latest",))
    assert str(refusal.value) == (
        f"`best` must be a checkpoint of {run.path}, but got no checkpoints/checkpoint_best.pth; choose one of its "
        "checkpoints: checkpoint_epoch3.pth, checkpoint_latest.pth."
    )


def test_a_loose_file_and_a_missing_one_are_told_apart(workplace):
    (workplace / "loose.pth").touch()
    with pytest.raises(RunError, match="must be a checkpoint inside a run folder, but got a file outside any run"):
        find_checkpoint("loose.pth", choice=None, prefer=("latest",))
    with pytest.raises(RunError, match=r"`missing\.pth` must be a checkpoint in a run, but got no file and no run"):
        find_checkpoint("missing.pth", choice=None, prefer=("latest",))


def test_every_run_below_the_roots_is_listed_once_with_its_state(workplace):
    run = make(
        workplace / "runs" / "group" / "a",
        *["checkpoint_latest.pth"],
        **{"epoch": 3, "total": 10, "best_name": "val/f1", "best": 0.5},
    )
    os.link(run.checkpoints("train") / "checkpoint_latest.pth", run.checkpoints("train") / "checkpoint_epoch3.pth")
    (run.checkpoints("train") / "big.bin").write_bytes(bytes(5000))
    os.link(run.checkpoints("train") / "big.bin", run.checkpoints("train") / "same.bin")
    make(workplace / "runs" / "b", state="running")
    make(workplace / "runs" / "b" / "inner")
    make(workplace / "runs" / ".hidden")
    (workplace / "runs" / "group" / "loop").symlink_to(workplace / "runs")
    (workplace / "runs" / "again").symlink_to(run.path)
    first, second = list_runs([workplace / "runs", workplace / "missing"])
    assert (first.name, second.name) == ("again", "b")
    assert second.status.state == "interrupted"
    assert (first.status.epoch, first.status.total, first.status.best) == (3, 10, 0.5)
    assert first.last_checkpoint == "checkpoint_epoch3.pth"
    assert first.last_checkpoint_age is not None
    assert 0 <= first.last_checkpoint_age < 60
    assert 0 <= first.age < 60
    assert 5000 < first.size < 6500


def test_a_summary_is_plain_values_for_json(workplace):
    make(workplace / "runs" / "mine", "checkpoint_latest.pth", epoch=3)
    (summary,) = list_runs([workplace / "runs"])
    document = json.loads(json.dumps(summary.as_dict()))
    assert (document["name"], document["state"], document["epoch"]) == ("mine", "finished", 3)
    assert document["path"] == str(workplace / "runs" / "mine")


def test_a_root_that_is_itself_a_run_is_listed_under_its_own_name(workplace):
    make(workplace / "results")
    assert [run.name for run in list_runs([workplace / "results"])] == ["results"]


def test_a_thousand_runs_are_listed_in_seconds(workplace):
    for number in range(1000):
        folder = workplace / "runs" / f"g{number % 10}" / f"r{number}"
        (folder / "checkpoints").mkdir(parents=True)
        for name in ("config.yaml", "config.json", "checkpoints/checkpoint_latest.pth"):
            (folder / name).touch()
        (folder / "status.json").write_text(Status(state="finished").to_json())
    start = time.monotonic()
    assert len(list_runs([workplace / "runs"])) == 1000
    assert time.monotonic() - start < 5
