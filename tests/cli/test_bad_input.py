"""Each mistake ends with exit code 2 and a line that names the thing and the way out, before anything is created."""

import os
from pathlib import Path

import numpy as np
import pytest

from holdfast.cli.main import run

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--epochs", "1")


@pytest.fixture
def refused(holdfast, entries):
    """Runs a command that must be refused; gives its message after checking that nothing came into being."""

    def command(*words):
        before = entries()
        code, out, err = holdfast(*words)
        assert code == 2, (out, err)
        assert entries() == before
        assert "Traceback" not in err
        assert err.startswith("holdfast: ")
        return err.strip()

    return command


def test_an_unknown_system_is_named_with_the_known_ones(refused):
    message = refused("train", "glimt")
    assert "'glimt'" in message and "did you mean 'glint'" in message and "\n" not in message


def test_no_system_at_all_is_asked_for(refused):
    assert "`system` must be given" in refused("train")


def test_a_module_or_a_name_in_it_that_is_not_there_is_named(refused):
    assert "no module 'nowhere'" in refused("train", "nowhere:system")
    assert "'tests.tiny:systen' is nothing" in refused("train", "tests.tiny:systen")


def test_an_unknown_preset_is_named_with_the_known_ones(refused):
    assert refused("train", "glint", "--preset", "tini").endswith(
        "`--preset` must be one of glint's presets (default, tiny), but got 'tini'."
    )


def test_an_unknown_option_gets_the_nearest_one(refused):
    assert "--epochs" in refused(*TINY, "--epoch", "3")
    assert "unknown option `--resum` (did you mean" in refused(*TINY, "--resum", "x")


def test_an_unknown_command_gets_the_nearest_one(refused):
    assert 'Did you mean "train"?' in refused("trian")


def test_all_mistakes_of_a_file_are_said_at_once_with_their_lines(refused, here):
    (here / "exp.yaml").write_text("system: tests.tiny:system\ntraining:\n  epohcs: 3\n  lr: fast\n")
    lines = refused("train", "--config", "exp.yaml").splitlines()
    assert lines[0].startswith("holdfast: exp.yaml:3:3: unknown key 'training.epohcs' (did you mean 'epochs'?)")
    assert lines[1].startswith("exp.yaml:4:3: `training.lr` must be a number, but got 'fast'")


def test_a_missing_or_circular_extends_shows_the_chain(refused, here):
    (here / "a.yaml").write_text("extends: b.yaml\nsystem: tests.tiny:system\n")
    assert "a.yaml -> b.yaml" in refused("train", "--config", "a.yaml")
    (here / "b.yaml").write_text("extends: a.yaml\n")
    assert "a.yaml -> b.yaml -> a.yaml" in refused("train", "--config", "a.yaml")


def test_an_unknown_stage_is_named_with_the_known_ones(refused, here):
    (here / "exp.yaml").write_text("system: tests.tiny:system\nstages:\n  - {name: first}\n  - {name: dense}\n")
    assert "`stage` must be one of first, dense, but got 'denes'" in refused(
        "train", "--config", "exp.yaml", "--stage", "denes"
    )


STAGED = "system: tests.tiny:system\nstages:\n"


@pytest.mark.parametrize(
    "stages,words,said",
    [
        ("  - {epochs: 2}\n", (), "name"),
        ("  - {name: a}\n  - {name: a}\n", (), "the stage 'a' must be there once, but is there twice"),
        ("  - {name: a}\n  - {name: b}\n", ("--stage", "a", "--run-all-stages"), "`--run-all-stages` must stand alone"),
        ("  - {name: a}\n  - {name: b, init_from: best_a.pth}\n", ("--stage", "b"), "train it first (--stage a)"),
        ("  - {name: a, init_from: best_b.pth}\n  - {name: b}\n", (), "has not been trained"),
        ("  - {name: a}\n  - {name: b, init_from: best_b.pth}\n", (), "must be of a stage before it"),
        ("  - {name: a}\n  - {name: b, init_from: gone.pth}\n", (), "gone.pth"),
        (
            "  - {name: a, model: {width: 3}}\n  - {name: b, init_from: best_a.pth}\n",
            (),
            "`model.width` is 3 in a and 4 here",
        ),
        ("  - {name: a}\n  - {name: b, init_from: best_a.pth, leave: ['xx.*']}\n", (), "'xx.*' matches none"),
    ],
)
def test_stages_that_cannot_be_are_refused_before_training(refused, here, stages, words, said):
    (here / "exp.yaml").write_text(STAGED + stages)
    assert said in refused("train", "--config", "exp.yaml", *words)


def test_all_stages_of_a_configuration_without_stages_are_refused(refused):
    assert "must have `stages`" in refused(*TINY, "--run-all-stages")


def test_a_monitor_that_is_no_metric_is_refused_with_the_metrics(refused):
    message = refused(*TINY, "--monitor", "val/f1")
    assert "train/loss, val/loss, val/error" in message and "'val/f1'" in message


def test_missing_unreadable_and_foreign_data_are_named(refused, here):
    (here / "eyes.h5").write_text("these are no eyes")
    (here / "folder").mkdir()
    assert "--data-path" in refused("train", "glint")
    assert "there is no nowhere.h5" in refused("train", "glint", "--data-path", "nowhere.h5")
    assert "must be an HDF5 file" in refused("train", "glint", "--data-path", "eyes.h5")
    assert "folder" in refused("train", "glint", "--data-path", "folder")


def test_data_of_the_wrong_shape_is_named(refused, here):
    import h5py

    with h5py.File(here / "eyes.h5", "w") as file:
        file["images"] = np.zeros((4, 50, 50), "uint8")
        file["heatmaps"] = np.zeros((4, 8, 12, 12), "float16")
    assert "50 x 50" in refused("train", "glint", "--data-path", "eyes.h5")


def test_a_root_that_cannot_be_a_folder_is_named(refused, here):
    (here / "taken").write_text("a file")
    assert "taken" in refused(*TINY, "--output-dir", "taken", "--name", "first")


def test_a_name_in_use_is_refused_with_the_ways_out(holdfast, refused):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    message = refused(*TINY, "--name", "first")
    assert "--resume auto" in message and "another --name" in message


def test_a_name_that_could_leave_the_root_is_refused(refused):
    assert "'..' is no name" in refused(*TINY, "--name", "../first")


def test_resuming_what_is_not_a_run_says_so(refused, here):
    (here / "notes").mkdir()
    assert "`notes` must be a run" in refused("resume", "notes")
    assert "`nowhere` must be a run" in refused("resume", "nowhere")


def test_a_resume_that_would_change_what_may_not_change_is_refused_with_both_values(holdfast, refused):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    message = refused("resume", "first", "--seed", "7", "--width", "5", "--epochs", "9")
    assert "`seed` must stay 1000 in this run, but got 7" in message
    assert "`model.width` must stay 4 in this run, but got 5" in message


def test_data_of_another_length_is_refused_on_resume(holdfast, monkeypatch):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    monkeypatch.setenv("TINY_SAMPLES", "21")
    code, _, err = holdfast("resume", "first", "--epochs", "3")
    assert code != 0
    assert "must have the 20 samples" in err and "21" in err


def test_a_run_that_another_process_works_on_is_refused(holdfast, here):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    child = os.fork()
    if child == 0:
        from holdfast.run.folder import RunFolder

        with RunFolder(Path("runs/first")).lock():
            (here / "locked").touch()
            while not (here / "done").exists():
                pass
        os._exit(0)
    while not (here / "locked").exists():
        pass
    code, _, err = holdfast("resume", "first", "--epochs", "2")
    (here / "done").touch()
    os.waitpid(child, 0)
    assert code == 2
    assert "must be used by one process at a time" in err


def test_a_complete_run_says_so_and_how_to_extend_it(holdfast):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    code, out, _ = holdfast("resume", "first")
    assert code == 0
    assert "is complete: 1 of 1 epochs are done; to extend it: holdfast resume" in out


def test_a_traceback_is_shown_only_when_asked_for(monkeypatch, here):
    monkeypatch.setenv("HOLDFAST_TRACEBACK", "1")
    with pytest.raises(Exception, match="glimt"):
        run(["train", "glimt"])


def test_the_same_command_with_resume_auto_begins_a_run_and_then_goes_on_with_it(holdfast):
    words = ("train", "tests.tiny:system", "--no-tensorboard", "--name", "same", "--resume", "auto")
    assert "going on from" not in holdfast(*words, "--epochs", "1")[1]
    code, out, _ = holdfast(*words, "--epochs", "2")
    assert code == 0
    assert "going on from" in out
    assert "finished: 2 epochs" in out


def test_resume_auto_without_a_name_says_what_is_missing(refused):
    assert "must know the run's name" in refused(*TINY, "--resume", "auto")
