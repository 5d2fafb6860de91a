"""What a run is told on resume, by files, stages and options."""

import json

import pytest

from holdfast.run.folder import RunFolder

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--epochs", "2")


@pytest.fixture
def first(holdfast, here):
    assert holdfast(*TINY, "--name", "first")[0] == 0
    return RunFolder(here / "runs" / "first")


def test_a_printed_configuration_trains_into_a_run_of_its_own_beside_others(holdfast, here):
    assert holdfast("make-data", "glint", "eyes", "--samples", "20")[0] == 0
    text = holdfast("config", "glint", "--preset", "tiny", "--epochs", "1", "--yaml")[1]
    (here / "mine.yaml").write_text(text)
    code, _, err = holdfast("train", "--config", "mine.yaml", "--data-path", "eyes", "--no-tensorboard")
    assert (code, err) == (0, "")
    (run,) = (here / "runs").iterdir()
    assert run.name.startswith("glint_bce_lr0.002_")


def test_an_explicit_output_folder_without_a_name_is_the_run_itself_for_glint(holdfast, here):
    assert holdfast("make-data", "glint", "eyes", "--samples", "20")[0] == 0
    words = ("train", "glint", "--preset", "tiny", "--data-path", "eyes", "--epochs", "1", "--no-tensorboard")
    assert holdfast(*words, "--output_dir", "exp1")[0] == 0
    assert RunFolder.is_run(here / "exp1")


@pytest.mark.parametrize("stage", ["bogus", "../../evil"])
def test_a_stage_that_the_run_does_not_have_is_refused_and_nothing_is_made(holdfast, here, first, stage):
    before = sorted(here.rglob("*"))
    code, _, err = holdfast("resume", "first", "--stage", stage)
    assert code == 2
    assert "must be one of this run's (train)" in err
    assert sorted(here.rglob("*")) == before


def test_one_stage_is_trained_and_resumed_in_folders_of_its_own(holdfast, here):
    (here / "exp.yaml").write_text(
        "system: tests.tiny:system\nlogging: {tensorboard: false}\nstages:\n"
        "  - {name: narrow, epochs: 2, model: {width: 3}}\n  - {name: wide, epochs: 3, model: {width: 9}}\n"
    )
    assert holdfast("train", "--config", "exp.yaml", "--stage", "narrow", "--name", "staged")[0] == 0
    run = here / "runs" / "staged"
    assert (run / "checkpoints" / "narrow" / "checkpoint_epoch2.pth").exists()
    assert (run / "logs" / "narrow" / "metrics.jsonl").exists()
    code, _, err = holdfast("resume", "staged", "--epochs", "3")
    assert (code, err) == (0, "")
    assert (run / "checkpoints" / "narrow" / "checkpoint_epoch3.pth").exists()


def test_a_file_is_heard_when_its_run_goes_on(holdfast, here, first):
    (here / "more.yaml").write_text("system: tests.tiny:system\ntraining: {resume: first, epochs: 3}\n")
    code, out, _ = holdfast("train", "--config", "more.yaml")
    assert code == 0
    assert "changed: training.epochs from 2 to 3" in out
    assert first.read_status().epoch == 3
    assert first.config_values()["training"]["resume"] is None


def test_a_file_that_asks_for_another_network_is_refused_when_its_run_goes_on(holdfast, here, first):
    (here / "other.yaml").write_text("system: tests.tiny:system\nmodel: {width: 99}\nrun: {name: first}\n")
    code, _, err = holdfast("train", "--config", "other.yaml", "--resume", "auto")
    assert code == 2
    assert "`model.width` must stay 4 in this run, but got 99" in err


def test_fewer_epochs_than_are_done_are_refused(holdfast, first):
    code, _, err = holdfast("resume", "first", "--epochs", "1")
    assert code == 2
    assert "`training.epochs` must be at least the 2 that are done, but got 1" in err


def test_another_metric_begins_the_best_anew(holdfast, first):
    code, out, _ = holdfast("resume", "first", "--epochs", "3", "--monitor", "train/loss", "--mode", "max")
    assert code == 0
    assert "the best is looked for anew, by train/loss (max)" in out
    status = first.read_status()
    assert (status.best_name, status.best_step) == ("train/loss", 15)


def test_a_name_given_on_resume_is_said_to_have_no_effect(holdfast, first):
    out = holdfast("resume", "first", "--epochs", "3", "--name", "other")[1]
    assert "run.name is left at first" in out
    assert first.config_values()["run"]["name"] == "first"


def test_bare_weights_cannot_be_evaluated_and_say_why(holdfast, first):
    code, _, err = holdfast("evaluate", first.path / "checkpoints" / "weights_best.pth")
    assert code == 2
    assert "must be a checkpoint with its configuration" in err


def test_an_evaluation_may_differ_in_all_but_the_network(holdfast, first):
    assert holdfast("evaluate", "first", "--batch-size", "3")[0] == 0
    code, _, err = holdfast("evaluate", "first", "--width", "9")
    assert code == 2
    assert "`model.width` must stay 4 for these weights" in err


def test_an_evaluation_in_json_is_one_strict_document_with_the_names_of_the_journal(holdfast, first):
    document = json.loads(holdfast("evaluate", "first", "--json")[1])
    assert set(document) == {"checkpoint", "epoch", "step", "val/loss", "val/size", "val/error"}


def test_training_metrics_that_do_not_exist_stop_at_the_first_epoch_with_those_that_do(holdfast):
    code, _, err = holdfast(*TINY, "--monitor", "train/typo")
    assert code == 1
    assert "`training.monitor` must be one of train/loss, train/size" in err


@pytest.mark.parametrize("name", [":x", ".x:y", "a b:c"])
def test_a_system_that_cannot_be_a_module_is_refused(holdfast, name):
    code, _, err = holdfast("train", name)
    assert code == 2
    assert "must have the form package.module:name" in err


def test_options_of_a_later_release_say_so(holdfast, first):
    assert "does not have it yet" in holdfast(*TINY, "--nproc", "2")[2]
