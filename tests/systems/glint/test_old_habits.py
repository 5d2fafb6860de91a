"""The command lines and the files of the original script, item by item."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from examples.glint import train_glint_unet

from holdfast.cli.main import run
from holdfast.cli.requests import resolve_request
from tests.processes import digest

SMALL = ("--base_channels", "2", "--no-tensorboard")


@pytest.fixture
def train(holdfast, eyes: str) -> Callable[..., str]:
    """Trains a small network into `exp`; gives what was said."""

    def command(*words: Any, into: str = "exp") -> str:
        code, out, err = holdfast("train", "glint", "--h5", eyes, "--output_dir", into, *SMALL, *words)
        assert code == 0, err
        return out + err

    return command


@pytest.fixture
def resume(holdfast) -> Callable[..., str]:
    def command(*words: Any) -> str:
        code, out, err = holdfast("train", "--resume", "exp/latest_checkpoint.pth", *words)
        assert code == 0, err
        return out

    return command


def state(path: str = "exp/checkpoints/checkpoint_latest.pth") -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def rates(folder: str = "exp") -> list[float]:
    rows = [json.loads(line) for line in Path(folder, "logs", "metrics.jsonl").read_text().splitlines()]
    return [row["lr"] for row in rows if row["kind"] == "epoch"]


def test_an_output_folder_without_a_name_is_the_run_itself(train, here: Path):
    train("--epochs", 1, into="runs/exp1")
    files = {path.relative_to("runs/exp1").as_posix() for path in Path("runs/exp1").rglob("*") if path.is_file()}
    # What the script called best_model.pth, latest_checkpoint.pth, best_model_weights.pt, training_args.json,
    # metrics.json and training.log.
    assert files >= {
        "checkpoints/checkpoint_best.pth",
        "checkpoints/checkpoint_latest.pth",
        "checkpoints/weights_best.pth",
        "config.json",
        "logs/metrics.jsonl",
        "logs/train.log",
    }


def test_without_an_output_folder_a_run_gets_a_name_with_the_time(holdfast, eyes: str):
    assert holdfast("train", "glint", "--h5", eyes, "--epochs", "1", *SMALL)[0] == 0
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("glint_focal_lr0.001_20")


def test_the_latest_and_the_best_are_found_by_their_old_names(train, holdfast):
    train("--epochs", 1)
    for old, native in (("latest_checkpoint.pth", "checkpoint_latest.pth"), ("best_model.pth", "checkpoint_best.pth")):
        code, out, _ = holdfast("evaluate", f"exp/{old}", "--json")
        assert code == 0
        assert Path(json.loads(out)["checkpoint"]).name == native


def test_a_resumed_run_ends_as_the_uninterrupted_one(train, resume):
    train("--epochs", 3, into="whole")
    train("--epochs", 2)
    assert "going on from" in resume("--epochs", 3)
    one, other = state(), state("whole/checkpoints/checkpoint_latest.pth")
    for part in ("model_state_dict", "optimizer_state_dict", "metrics", "best_metric", "epoch", "step", "data_state"):
        assert digest(one[part]) == digest(other[part]), part
    assert rates() == rates("whole") == 3 * [1e-3]


def test_a_checkpoint_has_the_keys_that_it_had(train):
    train("--epochs", 1)
    keys = state().keys()
    assert keys >= {"epoch", "model_state_dict", "optimizer_state_dict", "metrics", "timestamp"}
    assert state()["config"]["training"]["lr"] == 1e-3, "what was `train_args`"


@pytest.mark.parametrize("words", [(), ("--no_save_optimizer",)])
def test_inspecting_says_whether_the_optimizer_is_there(train, holdfast, words: tuple[str, ...]):
    train("--epochs", 1, *words)
    code, out, _ = holdfast("inspect", "exp/latest_checkpoint.pth", "--json")
    assert code == 0
    assert json.loads(out)["has_optimizer"] == (not words)


def test_without_the_optimizer_a_checkpoint_of_adam_is_about_a_third(train):
    train("--epochs", 1, "--base_channels", 8, into="with")
    train("--epochs", 1, "--base_channels", 8, "--no_save_optimizer", into="without")
    assert "optimizer_state_dict" not in state("without/checkpoints/checkpoint_latest.pth")
    sizes = [Path(run, "checkpoints", "checkpoint_latest.pth").stat().st_size for run in ("without", "with")]
    assert 0.3 < sizes[0] / sizes[1] < 0.4


def test_without_the_optimizer_a_resume_says_what_it_restores_and_what_not(train, resume):
    train("--epochs", 2, "--no_save_optimizer", "--lr", "2e-3")
    before = state()
    out = resume("--epochs", 3)
    (line,) = [line for line in out.splitlines() if "no optimizer state" in line]
    assert "weights, counters and the best are restored" in line
    assert "the optimizer starts anew at rate 0.002" in line
    assert "unsteady" in line
    after = state()
    assert (after["epoch"], after["step"]) == (3, before["step"] // 2 * 3)
    assert after["best_metric"] >= before["best_metric"]
    assert "optimizer_state_dict" not in after, "it stays as it was asked for"
    assert rates() == 3 * [2e-3]


def test_without_the_optimizer_its_moments_start_at_zero(train, resume):
    train("--epochs", 1, "--no_save_optimizer")
    resume("--epochs", 2, "--save_optimizer")
    steps = {float(moments["step"]) for moments in state()["optimizer_state_dict"]["state"].values()}
    assert steps == {state()["step"] / 2}


@pytest.mark.parametrize("words", [(), ("--no_save_optimizer",)])
def test_an_explicit_rate_is_applied_with_and_without_the_optimizer(train, resume, words: tuple[str, ...]):
    train("--epochs", 1, *words)
    out = resume("--epochs", 2, "--lr", "5e-4")
    assert "changed: training.lr from 0.001 to 0.0005" in out
    assert rates() == [1e-3, 5e-4]


def test_three_losses_trained_at_once_do_not_disturb_each_other(holdfast, eyes: str, here: Path):
    losses = ("focal", "bce", "hybrid")

    def words(folder: str, loss: str) -> list[str]:
        asked = ["--h5", eyes, "--output_dir", folder, "--no_save_optimizer", "--loss", loss, "--epochs", "2", *SMALL]
        return ["train", "glint", *asked]

    children = [in_background(words(f"exp_{loss}", loss)) for loss in losses]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    for loss in losses:
        assert holdfast(*words(f"alone_{loss}", loss))[0] == 0
        one, alone = (state(f"{run}_{loss}/checkpoints/checkpoint_latest.pth") for run in ("exp", "alone"))
        assert one["config"]["loss"]["name"] == loss
        assert digest(one["model_state_dict"]) == digest(alone["model_state_dict"])
        assert one["metrics"] == alone["metrics"]


def in_background(words: list[str]) -> int:
    """Begins a command in a forked process."""
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        os._exit(run(words))
    return child


def test_dice_trains(train):
    train("--epochs", 1, "--loss", "dice")
    assert state()["config"]["loss"]["name"] == "dice"


def test_numbered_files_are_written_as_often_as_asked_and_so_many_are_kept(train):
    train("--epochs", 5, "--save_freq", 2, "--keep_last_n", 2)
    numbered = sorted(path.name for path in Path("exp/checkpoints").glob("checkpoint_epoch*.pth"))
    assert numbered == ["checkpoint_epoch4.pth", "checkpoint_epoch5.pth"], "the end has a number, too"


OLD_FLAGS = {
    "--h5 a.h5": ("data.path", "a.h5"),
    "--epochs 3": ("training.epochs", 3),
    "--batch 4": ("training.batch_size", 4),
    "--lr 2e-3": ("training.lr", 2e-3),
    "--val_split 0.2": ("data.val_split", 0.2),
    "--gpu 1": ("device", "cuda:1"),
    "--num_workers 4": ("data.num_workers", 4),
    "--preload": ("data.preload", True),
    "--no_preload": ("data.preload", False),
    "--shared_memory": ("data.shared_memory", True),
    "--cleanup_shm": ("data.shared_memory", True),
    "--save_freq 10": ("training.save_interval", 10),
    "--keep_last_n 1": ("training.keep_last_n", 1),
    "--no_save_optimizer": ("training.save_optimizer", False),
    "--output_dir runs/exp8": ("run.root", "runs/exp8"),
    "--loss dice": ("loss.name", "dice"),
    "--alpha 0.5": ("loss.alpha", 0.5),
    "--gamma 1.5": ("loss.gamma", 1.5),
    "--loss hybrid --lam_focal 0.5": ("loss.lam_focal", 0.5),
    "--loss hybrid --lam_bce 0.1": ("loss.lam_bce", 0.1),
    "--loss hybrid --lam_dice 0.1": ("loss.lam_dice", 0.1),
    "--loss hybrid --div_weight 0": ("loss.div_weight", 0),
    "--loss hybrid --div_mode kl": ("loss.div_mode", "kl"),
    "--loss hybrid --lam_agg 0": ("loss.lam_agg", 0),
    "--loss hybrid --agg_mode sum": ("loss.agg_mode", "sum"),
    "--loss hybrid --agg_wF 0.5": ("loss.agg_focal", 0.5),
    "--loss hybrid --agg_wB 0.5": ("loss.agg_bce", 0.5),
    "--loss hybrid --agg_wD 0.5": ("loss.agg_dice", 0.5),
}


@pytest.mark.parametrize("words", OLD_FLAGS)
def test_an_old_option_sets_its_key(words: str):
    _, resolved = resolve_request("glint", key_words=words.split())
    key, value = OLD_FLAGS[words]
    found: Any = resolved.values
    for word in key.split("."):
        found = found[word]
    assert found == value


def test_the_published_command_line_is_read_as_it_is():
    words = (
        "--h5 dataset/glints_dataset.h5 --output_dir runs/exp8 --gpu 3 --epochs 50 --batch 16 --lr 2e-3 --loss hybrid "
        "--lam_focal 1.0 --lam_bce 0.1 --lam_dice 0.0 --div_weight 0.0 --div_mode overlap --lam_agg 0.0 --save_freq 10 "
        "--keep_last_n 1 --shared_memory --no_save_optimizer"
    )
    _, resolved = resolve_request("glint", key_words=words.split())
    assert (resolved.config.loss.lam_bce, resolved.config.training.batch_size) == (0.1, 16)


def test_shared_memory_options_train_with_a_note(train):
    said = train("--epochs", 1, "--shared_memory")
    assert "note: --shared_memory and --cleanup_shm have no effect" in said


class TestTheOldScript:
    """`examples/glint/train_glint_unet.py`."""

    @pytest.mark.parametrize(
        "old, new",
        [
            ("--h5 a.h5", "train glint --preset default --data-path a.h5"),
            (
                "--h5 a.h5 --output_dir runs/exp1 --epochs 100 --no_save_optimizer",
                "train glint --preset default --data-path a.h5 --epochs 100 --output-dir runs/exp1 --no-save-optimizer",
            ),
            (
                "--h5 a.h5 --loss hybrid --lam_bce 0.1 --agg_wF 0.5 --batch 16",
                "train glint --preset default --data-path a.h5 --batch-size 16 --loss hybrid --lam-bce 0.1 "
                "--agg-focal 0.5",
            ),
            ("--resume exp/latest_checkpoint.pth --epochs 200", "resume exp/latest_checkpoint.pth --epochs 200"),
        ],
    )
    def test_an_old_command_line_becomes_a_new_one(self, old: str, new: str):
        assert train_glint_unet.translated(old.split()) == (new.split(), [])

    @pytest.mark.parametrize(
        "old, note",
        [
            ("--h5 a --loss bce --gamma 3", "--gamma is left out: the bce loss does not look at it"),
            ("--h5 a --lam_bce 3", "--lam_bce is left out: the focal loss does not look at it"),
            ("--h5 a --shared_memory", "--shared_memory is left out"),
            ("--h5 a --cleanup_shm", "--cleanup_shm: nothing is left behind"),
            ("--h5 a --save b --model_path c", "--save is left out: --output_dir says where the run goes"),
            ("--h5 a --gpu 0,1", "--gpu 0,1: GPU 0 is used"),
            ("--resume a.pth --output_dir a", "--output_dir is left out: a run goes on in the folder that it has"),
        ],
    )
    def test_what_has_no_meaning_any_more_is_left_out_with_a_note(self, old: str, note: str):
        words, notes = train_glint_unet.translated(old.split())
        assert notes[0].startswith(note)
        assert not {"a.h5", "3", "b", "c", "0,1"} & set(words)

    def test_it_prints_the_new_command_and_runs_it(self, eyes: str, monkeypatch, capfd):
        words = ["--h5", eyes, "--output_dir", "exp", "--epochs", "1", "--no_preload", "--shared_memory"]
        code, out, err = called(words, monkeypatch, capfd)
        assert code == 0, err
        new = f"holdfast train glint --preset default --data-path {eyes} --epochs 1 --output-dir exp --no-preload"
        assert out.startswith(f"$ {new}\n")
        assert err.startswith("note: --shared_memory is left out: ")
        assert json.loads(Path("exp/provenance.json").read_text())["command"] == new.split()
        assert state()["config"]["training"]["save_interval"] == 10

    def test_there_is_nothing_to_clean_up(self, here: Path, monkeypatch, capfd):
        code, out, err = called(["--h5", "a.h5", "--cleanup_shm"], monkeypatch, capfd)
        assert (code, out) == (0, "")
        assert "nothing to clean up" in err
        assert list(here.iterdir()) == []

    def test_a_mistake_in_it_is_the_users(self, here: Path, monkeypatch, capfd):
        assert called(["--h5", "nowhere.h5"], monkeypatch, capfd)[0] == 2
        assert called(["--epohcs", "3"], monkeypatch, capfd)[0] == 2
        assert list(here.iterdir()) == []


def called(words: list[str], monkeypatch, capfd) -> tuple[int, str, str]:
    """Runs the old script; gives exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["train_glint_unet.py", *words])
    code = 0
    try:
        train_glint_unet.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capfd.readouterr()
    return code, out, err
