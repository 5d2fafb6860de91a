"""InkTrace as a whole: it is trained, killed, resumed and handed on."""

import json
import signal
from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from holdfast.run.folder import RunFolder
from holdfast.systems.inktrace.system import system
from tests.processes import forked, result, signal_after_step

from .drawings import config_for

SMALL = """
system: inktrace
model: {embed_dim: 8, num_layers: 1, num_heads: 1, channels: 8}
data: {img_size: 32, epoch_length: 10, val_samples: 4}
training: {batch_size: 4, epochs: 4, lr: 1e-2, mask_ratio: 0.3, mask: stroke, save_interval: 1,
           curriculum: {start: 0, end: 3, epochs_per_level: 1}}
logging: {tensorboard: false}
"""
STAGES = """
stages:
  - {name: structural, epochs: 2, model: {full_heads: false}}
  - {name: dense, epochs: 2, init_from: best_structural.pth, model: {full_heads: true}, training: {mask_ratio: null}}
"""
NAMES = ("structural", "dense")


@pytest.fixture
def small(here):
    (here / "small.yaml").write_text(SMALL)
    (here / "stages.yaml").write_text(SMALL + STAGES)
    return here


def train(name: str, *options: str, prepare=lambda: None) -> int:
    words = ["train", "--config", "small.yaml", "--output-dir", "runs", "--name", name, "--no-tensorboard"]
    return forked([*words, *options], prepare=prepare)


def test_a_run_that_was_killed_ends_in_the_same_bits_with_curriculum_masks_and_workers(small: Path):
    assert train("whole") == 0
    assert train("killed", "--workers", "2", prepare=signal_after_step(4)) == -signal.SIGKILL
    assert forked(["resume", "killed"], prepare=signal_after_step(11)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(small / "runs" / "killed") == result(small / "runs" / "whole")


@pytest.mark.long
def test_a_run_on_a_folder_that_was_killed_ends_in_the_same_bits(small: Path):
    assert forked(["make-data", "inktrace", "ink", "--samples", "12"]) == 0
    options = ["--data-path", "ink", "--epochs", "3"]
    assert train("whole", *options) == 0
    assert train("killed", *options, prepare=signal_after_step(5)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    assert result(small / "runs" / "killed") == result(small / "runs" / "whole")


def test_the_cycle_of_the_rate_fits_a_last_short_batch_and_ends_at_its_end(small: Path):
    """Ten samples are three steps of four: counted as two and a half, the cycle of the original was over too soon."""
    assert train("whole", "--epochs", "2", "--log-interval", "1") == 0
    rows = [json.loads(line) for line in (small / "runs" / "whole" / "logs" / "metrics.jsonl").read_text().splitlines()]
    rates = [row["lr"] for row in rows if row["kind"] == "step"]
    assert len(rates) == 6
    assert max(rates) > 0.8e-2 and rates[-1] < 0.25e-2
    assert all(rate > 0 for rate in rates)


def test_resume_needs_nothing_but_the_run_and_keeps_its_best(small: Path, holdfast):
    assert train("first", "--epochs", "2") == 0
    folder = RunFolder(small / "runs" / "first")
    best = folder.read_status().best
    assert best is not None
    (small / "small.yaml").unlink()
    code, _, err = holdfast("resume", "first", "--epochs", "3", "--lr", "1e-12")
    assert (code, err) == (0, "")
    assert folder.read_status().epoch == 3
    # What was learned at next to no rate is no better than before, and the best is still the best of all.
    assert folder.read_status().best is not None and folder.read_status().best <= best


def test_an_explicit_folder_without_a_name_is_the_run_itself(small: Path, holdfast):
    words = ("train", "--config", "small.yaml", "--epochs", "1", "--save_dir", "checkpoints/exp1")
    assert holdfast(*words)[0] == 0
    assert RunFolder.is_run(small / "checkpoints" / "exp1")


def test_a_sweep_over_rates_makes_a_run_in_each_folder(small: Path, holdfast):
    for rate in ("1e-3", "5e-4"):
        folder = f"sweeps/lr_{rate}"
        assert holdfast("train", "--config", "small.yaml", "--lr", rate, "--epochs", "1", "--save_dir", folder)[0] == 0
    rates = [RunFolder(small / "sweeps" / f"lr_{rate}").config_values()["training"]["lr"] for rate in ("1e-3", "5e-4")]
    assert rates == [1e-3, 5e-4]


def both(name: str, *options: str, prepare=lambda: None) -> int:
    words = ["train", "--config", "stages.yaml", "--run-all-stages", "--output-dir", "runs", "--name", name]
    return forked([*words, *options], prepare=prepare)


def test_both_stages_in_one_command_end_in_the_same_bits_after_a_kill_in_each_of_them(small: Path):
    assert both("whole") == 0
    assert both("killed", prepare=signal_after_step(2)) == -signal.SIGKILL
    # Steps are counted anew in each stage, and this one has more than are left of the first.
    assert forked(["resume", "killed"], prepare=signal_after_step(5)) == -signal.SIGKILL
    assert forked(["resume", "killed"]) == 0
    for stage in NAMES:
        assert result(small / "runs" / "killed", stage) == result(small / "runs" / "whole", stage)


def test_one_stage_is_trained_by_its_name_from_the_weights_that_the_command_line_names(small: Path, holdfast):
    """In the original the stage's own `init_from` won, and named a file that nothing wrote."""
    words = ("train", "--config", "stages.yaml", "--output-dir", "runs")
    assert holdfast(*words, "--stage", "structural", "--name", "one")[0] == 0
    code, out, err = holdfast(*words, "--stage", "dense", "--init_from", "one", "--name", "two", "--epochs", "1")
    assert (code, err) == (0, "")
    assert "checkpoints/structural/checkpoint_best.pth" in out
    report = json.loads((small / "runs" / "two" / "provenance.json").read_text())["init_from"]
    assert report["left"] == []
    assert {name.split(".")[0] for name in report["new"]} == {"line_head", "keypoint_head"}
    assert report["share"] > 0.9
    # Weights and nothing else: in the original the first epoch was the one after the last of the file.
    status = RunFolder(small / "runs" / "two").read_status()
    assert (status.epoch, status.step) == (1, 3)


def test_stages_whose_networks_do_not_fit_are_refused_with_both_values_before_training(small: Path, holdfast, entries):
    text = (SMALL + STAGES).replace("{full_heads: true}", "{full_heads: true, embed_dim: 16}")
    (small / "wider.yaml").write_text(text)
    before = entries()
    code, _, err = holdfast("train", "--config", "wider.yaml", "--run-all-stages")
    assert code == 2
    assert "`model.embed_dim` is 8 in structural and 16 here" in err
    assert entries() == before


def test_a_run_predicts_on_a_picture(small: Path, holdfast):
    assert train("first", "--epochs", "1") == 0
    assert holdfast("make-data", "inktrace", "ink", "--samples", "2")[0] == 0
    code, out, err = holdfast("predict", "first", "ink", "--output-dir", "out", "--json")
    assert (code, err) == (0, "")
    records = json.loads(out)["predictions"]
    assert [Path(record["input"]).name for record in records] == ["ink_000000.png", "ink_000001.png"]
    assert all((small / record["svg"]).exists() and (small / record["picture"]).exists() for record in records)


def test_a_folder_that_changed_is_refused_when_its_run_goes_on(small: Path, holdfast):
    assert holdfast("make-data", "inktrace", "ink", "--samples", "12")[0] == 0
    assert train("first", "--data-path", "ink", "--epochs", "1") == 0
    for file in (small / "ink").glob("ink_000003.*"):
        file.unlink()
    code, _, err = holdfast("resume", "first", "--epochs", "2")
    assert code == 2
    assert "what the run began with" in err


def test_bad_input_ends_with_one_line_and_exit_code_2_before_anything_is_made(small: Path, holdfast, entries):
    before = entries()
    for options, words in {
        ("--mask-ratio", "1"): "`training.mask_ratio` must be less than 1, but got 1",
        ("--data-path", "nowhere"): "`data.path` must be a folder of pictures with their fields",
    }.items():
        code, _, err = holdfast("train", "--config", "small.yaml", *options)
        assert code == 2
        assert words in err and len(err.splitlines()) == 1
        assert entries() == before


def test_two_drawings_are_learned_by_heart():
    config = config_for(model={"channels": 16, "dropout": 0.0}, training={"curriculum": {"start": 4, "end": 4}})
    torch.manual_seed(0)
    model, loss = system.model(config), system.loss(config)
    train_set = system.data(config).train
    batch = default_collate([train_set[index] for index in range(2)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(model, batch)
        (value.total / value.weight).backward()
        optimizer.step()
    assert system.metrics is not None
    counts = system.metrics(config)
    counts.update(value.outputs, batch)
    scores = counts.result()
    assert scores["F1"] > 0.85 and scores["KeypointRecall"] > 0.8
    assert scores["AngleError"] < 18 and scores["WidthError"] < 0.8
