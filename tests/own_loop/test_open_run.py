"""What `holdfast.open_run` makes, keeps, refuses and says."""

import errno
import json
import os
import signal
import time

import pytest
import torch
from torch import nn

import holdfast
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import Store
from holdfast.errors import ConfigError, NonFiniteLoss, RunError, UserError
from holdfast.run.folder import RunFolder
from tests.own_loop.programs import Counter, ended, program, signal_in_step
from tests.tiny import Noisy

QUIET = {"tensorboard": False}


def status(here):
    return RunFolder(here / "mine").read_status()


def train(run, *, epochs=1, model=None, **values):
    for _ in run.epochs(epochs):
        for _ in run.batches(Noisy(8), batch_size=4):
            run.step(loss=1.0)
        run.record(**values)


def begun(**options):
    """A run that was killed in the middle of its first epoch, after a save."""
    assert ended(program(save_interval="1 steps", **options), prepare=signal_in_step(3)) == -signal.SIGKILL


def test_a_run_is_a_run_folder_that_the_commands_know(here, holdfast):
    assert ended(program(config={"lr": 0.1, "path": here}, seed=7)) == 0
    values = json.loads((here / "mine" / "config.json").read_text())
    assert (values["lr"], values["path"], values["seed"]) == (0.1, str(here), 7)
    assert {"config.yaml", "provenance.json", "git_commit.txt", "code", "status.json"} <= set(os.listdir("mine"))
    assert (here / "mine" / "code" / "programs.py").exists()
    assert (status(here).state, status(here).epoch, status(here).best_name) == ("finished", 3, "val/error")
    assert holdfast("verify", "mine")[0] == 0
    assert holdfast("prune", "mine")[:2] == (0, "0 removed\n")
    assert "finished  3/3 epochs  val/error" in holdfast("runs", ".")[1]
    code, _, err = holdfast("resume", "mine")
    assert code == 2
    assert "the command that began it" in err
    assert "run.track" in holdfast("evaluate", "mine")[2]


def test_a_checkpoint_has_the_tracked_parts_by_name(here):
    begun()
    state = torch.load("mine/checkpoints/checkpoint_latest.pth", weights_only=True)
    assert (state["version"], state["epoch"], state["step"], state["samples"]) == (1, 0, 2, 8)
    assert {"model_state_dict", "optimizer_state_dict", "by_step_state_dict", "head_state_dict"} <= set(state)


def test_epochs_count_from_one_and_the_best_is_the_one_that_was_recorded_best(here):
    counter, numbers = Counter(), []
    with holdfast.open_run("mine", monitor="val_acc", **QUIET) as run:
        run.track(counter=counter)
        for epoch in run.epochs(3):
            numbers.append(epoch)
            counter.count = epoch
            for _ in run.batches(Noisy(8), batch_size=4):
                run.step(loss=1.0, part=2.0)
            run.record(val_acc=[0.5, 0.9, 0.7][epoch - 1], train_gap=0.1)
    assert numbers == [1, 2, 3]
    best = archive.read("mine/checkpoints/checkpoint_best.pth")
    assert (best["epoch"], best["counter_state_dict"]["count"], best["best_metric"]) == (2, 2, 0.9)
    assert best["metrics"] == {"train/Loss": 1.0, "train/part": 2.0, "train/gap": 0.1, "val/acc": 0.9}


def test_a_complete_run_has_nothing_to_do(here, capsys):
    with holdfast.open_run("mine", **QUIET) as run:
        train(run)
    with holdfast.open_run("mine", **QUIET) as run:
        assert list(run.epochs(1)) == []
    assert "is complete: 1 of 1 epochs are done" in capsys.readouterr().out
    assert status(here).state == "finished"


def test_a_loop_that_stops_early_is_finished_until_more_epochs_are_asked_for(here):
    with holdfast.open_run("mine", **QUIET) as run:
        for _ in run.epochs(5):
            for _ in run.batches(Noisy(8), batch_size=4):
                run.step(loss=1.0)
            run.stop()
    assert (status(here).state, status(here).epoch) == ("finished", 1)
    with holdfast.open_run("mine", **QUIET) as run:
        assert list(run.epochs(5)) == []
    with holdfast.open_run("mine", **QUIET) as run:
        train(run, epochs=6)
    assert status(here).epoch == 6


def test_an_epoch_that_is_left_by_break_is_done_again(here):
    with holdfast.open_run("mine", **QUIET) as run:
        for epoch in run.epochs(3):
            for _ in run.batches(Noisy(8), batch_size=4):
                run.step(loss=1.0)
            if epoch == 2:
                break
    assert status(here).state == "interrupted"
    with holdfast.open_run("mine", **QUIET) as run:
        assert next(run.epochs(3)) == 2


def test_a_program_that_fails_leaves_a_failed_run(here):
    def failing():
        run = holdfast.open_run("mine", **QUIET)
        for _ in run.epochs(2):
            for _ in run.batches(Noisy(8), batch_size=4):
                run.step(loss=1.0)
                raise ValueError("a mistake")

    assert ended(failing) == 1
    assert (status(here).state, status(here).message) == ("failed", "ValueError: a mistake")
    with pytest.raises(ValueError, match="another"), holdfast.open_run("mine", **QUIET):
        raise ValueError("another")


def with_a_block():
    with holdfast.open_run("mine", **QUIET) as run:
        train(run)


@pytest.mark.parametrize("program", [program(), with_a_block])
def test_saves_that_fail_stop_nothing_but_the_exit_code_is_1(here, program):
    def fill_the_disk():
        def save(self, state, **names):
            raise OSError(errno.ENOSPC, "No space left on device")

        Store.save = save

    assert ended(program, prepare=fill_the_disk) == 1
    assert status(here).state == "finished"
    assert "No space left on device; training goes on" in (here / "output.log").read_text()


def test_a_second_signal_ends_at_once(here):
    def stubborn():
        run = holdfast.open_run("mine", **QUIET)
        for _ in run.epochs(1):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    assert ended(stubborn) == -signal.SIGTERM
    assert status(here).state == "interrupted"


def test_a_second_process_is_refused(here):
    with holdfast.open_run("mine", **QUIET), pytest.raises(RunError, match="one process at a time"):
        holdfast.open_run("mine", **QUIET)


def test_a_run_of_a_system_is_refused(here, holdfast):
    assert holdfast("train", "tests.tiny:system", "--name", "mine", "--epochs", "1", "--no-tensorboard")[0] == 0
    with pytest.raises(RunError, match=r"holdfast resume"):
        open_again("runs/mine")


def open_again(path="mine", **options):
    return holdfast.open_run(path, **{**QUIET, **options})


def test_what_differs_in_the_config_is_printed(here, capsys):
    begun(config={"lr": 0.1, "epochs": 3})
    open_again(config={"lr": 0.2, "epochs": 3}).close()
    assert "changed: lr from 0.1 to 0.2\n" in capsys.readouterr().out
    assert json.loads((here / "mine" / "config.json").read_text())["lr"] == 0.2


def test_another_seed_is_refused_with_both(here):
    begun(config={"seed": 3})
    with pytest.raises(ConfigError, match=r"`seed` must stay 3 in this run, but got 4"):
        open_again(config={"seed": 4})
    with pytest.raises(ConfigError, match="same twice, but got 5 and 4 in the config"):
        open_again(seed=5, config={"seed": 4})


@pytest.mark.parametrize(
    "change,words",
    [
        ({"batch_size": 5}, "`batch_size` must stay 4 in this run, but got 5"),
        ({"samples": 19}, "the length of the training data must stay 20 in this run, but got 19"),
        ({"shuffle": False}, "`shuffle` must stay True in this run, but got False"),
        ({"own_loader": True}, "`run.batches` must give the batches"),
        ({"width": 5}, "`model_state_dict` must fit the model, but 0.weight is [4, 3] instead of [5, 3]"),
        ({"optimizer": torch.optim.SGD}, "`optimizer` must be a Adam as in the checkpoint, but got SGD"),
        ({"more": ("extra",)}, "`extra` must be in the checkpoint, but it holds model, optimizer"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused_by_name(here, change, words):
    begun()
    assert ended(program(**change)) == 1
    assert f"CheckpointMismatch: {words}" in (here / "output.log").read_text()
    assert ended(program(epochs=1)) == 0


def test_a_part_that_nobody_tracks_any_more_is_named(here):
    begun(more=("extra",))
    assert ended(program()) == 1
    assert "`extra` must be tracked, for the checkpoint holds it" in (here / "output.log").read_text()


@pytest.mark.parametrize(
    "misuse,words",
    [
        (lambda run: run.track(model=3), "`model` must have `state_dict` and `load_state_dict`"),
        (lambda run: (run.track(a=Counter()), run.track(a=Counter())), "`a` must be tracked once"),
        (lambda run: [run.track(a=Counter()) for _ in run.epochs(1)], "`run.track` must come before the loop"),
        (lambda run: run.step(loss=1.0), "`run.step` must be called in the loop over run.epochs"),
        (lambda run: run.record(acc=1.0), "`run.record` must be called in the loop over run.epochs"),
        (lambda run: list(run.batches(Noisy(8), batch_size=4)), "`run.batches` must be called in the loop"),
        (lambda run: run.batches(Noisy(8), batch_size=0), "`batch_size` must be a whole number from 1 on, but got 0"),
        (lambda run: list(run.epochs(0)), "`run.epochs` must be given a whole number from 1 on, but got 0"),
        (lambda run: [None for _ in run.epochs(1)], "`run.step` must be called after each optimizer step"),
        (lambda run: (run.close(), run.track(a=Counter())), "must be open, but got a run that is closed"),
        (lambda run: [list(run.batches(Noisy(8), batch_size=4)) for _ in "12" for _ in run.epochs(1)], "run.step"),
    ],
)
def test_misuse_is_refused(here, misuse, words):
    with holdfast.open_run("mine", **QUIET) as run, pytest.raises(UserError, match=words):
        misuse(run)


@pytest.mark.parametrize(
    "options,words",
    [
        ({"save_interval": "often"}, "`save_interval` must be a number"),
        ({"keep_last_n": 0}, "`keep_last_n` must be a whole number from 1 on"),
        ({"mode": "best"}, "`mode` must be min or max"),
        ({"seed": "x"}, "`seed` must be a whole number"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_created(here, entries, options, words):
    with pytest.raises(ConfigError, match=words):
        holdfast.open_run("mine", **options)
    assert entries() == []


def test_a_state_that_cannot_be_saved_is_refused_before_the_first_step(here):
    counter = Counter()
    counter.count = object()
    with holdfast.open_run("mine", **QUIET) as run:
        run.track(counter=counter)
        with pytest.raises(UserError, match="`counter` must have a state of plain values"):
            next(run.epochs(1))


def test_a_loss_that_is_not_finite_stops_with_its_samples(here):
    losses = iter([1.0, float("nan")])

    def diverging(run):
        for _ in run.epochs(1):
            for _ in run.batches(Noisy(8), batch_size=4, shuffle=False):
                run.step(loss=next(losses), size=3.0)

    with holdfast.open_run("mine", **QUIET) as run, pytest.raises(NonFiniteLoss, match="loss of step 2 must be finite"):
        diverging(run)
    note = json.loads((here / "mine" / "checkpoints" / "nonfinite_step2.json").read_text())
    assert (note["step"], note["samples"]) == (2, [4, 5, 6, 7])


def test_weights_of_the_best_are_those_of_the_part_called_model(here):
    model = nn.Linear(2, 1)
    with holdfast.open_run("mine", monitor="acc", **QUIET) as run:
        run.track(model=model, ema=torch.optim.swa_utils.AveragedModel(model))
        train(run, acc=1.0)
    saved = torch.load("mine/checkpoints/weights_best.pth", weights_only=True)
    assert torch.equal(saved["weight"], model.weight)


def test_a_trace_is_left_and_the_process_killed_where_the_environment_asks_for_it(here):
    def ask():
        os.environ.update(HOLDFAST_TRACE="trace.jsonl", HOLDFAST_KILL_AFTER_STEP="4")

    assert ended(program(), prepare=ask) == -signal.SIGKILL
    lines = [json.loads(line) for line in (here / "trace.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert {"order", "batch", "loss", "weights"} <= set(lines[1])


def test_a_step_costs_little(here):
    with holdfast.open_run("mine", log_interval=10**9, **QUIET) as run:
        run.track(model=nn.Linear(2, 1))
        loss = torch.tensor(1.0)
        for _ in run.epochs(1):
            times = []
            for _ in run.batches(Noisy(400), batch_size=4):
                before = time.perf_counter()
                run.step(loss=loss)
                times.append(time.perf_counter() - before)
    assert sorted(times)[len(times) // 4] < 50e-6
