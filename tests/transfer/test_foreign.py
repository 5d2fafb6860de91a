"""Going on from files of other programs: what is taken, what starts anew, and what is refused."""

import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from holdfast import CheckpointManager, save_checkpoint
from holdfast.assembly import build_training
from holdfast.checkpoint.layouts import Keyed
from holdfast.checkpoint.safetensors_file import write_safetensors
from holdfast.config import plain_layer, resolve
from holdfast.errors import UserError
from holdfast.launch import GoOnFrom
from holdfast.launch.completing import position_in
from tests.processes import digest, forked, result, signal_after_step
from tests.tiny import TinyConfig, make_model, system


def trained(optimizer=None):
    """A network and its optimizer after two epochs of somebody's own loop: ten steps."""
    torch.manual_seed(3)
    model = make_model(TinyConfig())
    optimizer = (optimizer or (lambda model: torch.optim.Adam(model.parameters(), lr=0.02)))(model)
    for _ in range(10):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).pow(2).mean().backward()
        optimizer.step()
    return model, optimizer


def taken(path, *, layouts=(), epoch=None, **training):
    """Gives the training that goes on from a file, with what was told and what is written down about it."""
    resolved = resolve(TinyConfig, [plain_layer({"training": training}, "test")])
    one, lines = build_training(system, resolved.config, stage="train"), []
    origin = GoOnFrom(path, layouts, epoch)(one, resolved, lines.append)
    return SimpleNamespace(training=one, told="\n".join(lines), **origin["continued_from"])


def refusal(path, **training):
    with pytest.raises(UserError) as error:
        taken(path, **training)
    return str(error.value)


@pytest.fixture
def script(tmp_path):
    """Saves what a plain script would."""

    def save(model, optimizer, **others):
        path = tmp_path / "script.pth"
        held = {"epoch": 1, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
        torch.save(held | others, path)
        return path

    return save


def test_weights_moments_and_counters_of_a_script_are_taken_and_the_rest_is_listed(script):
    model, optimizer = trained()
    found = taken(script(model, optimizer, args={"lr": 0.02}, scheduler={"last_epoch": 2}, git="abc"), epochs=5)
    learner, clock = found.training.learner, found.training.clock
    assert digest(learner.model.state_dict()) == digest(model.state_dict())
    assert digest(learner.optimizer.state_dict()["state"]) == digest(optimizer.state_dict()["state"])
    assert (clock.epoch, clock.step, clock.samples) == (2, 10, 40)
    assert found.anew == ["the order of the samples, from the seed", "the curves, which begin here"]
    assert [one.partition(":")[0] for one in found.left] == ["config", "scheduler_state_dict", "git"]
    assert "the rate was 0.02 and is 0.05 from here on (training.lr)" in found.told


def test_moments_follow_the_names_of_their_weights_into_another_order(script):
    model, optimizer = trained()
    state = model.state_dict()
    order = [4, 5, 0, 1, 2, 3]
    names = [name for name, _ in model.named_parameters()]
    turned = {names[at]: state[names[at]] for at in order} | state
    assert next(iter(turned)) == "4.weight"
    moments = optimizer.state_dict()
    numbered = {place: moments["state"][at] for place, at in enumerate(order)}
    path = script(model, optimizer, model_state_dict=turned, optimizer_state_dict={**moments, "state": numbered})
    kept = taken(path).training.learner.optimizer.state_dict()["state"]
    assert digest(kept) == digest(moments["state"])
    # Taken by number alone, they would be those of other weights.
    assert digest(dict(sorted(numbered.items()))) != digest(moments["state"])


def test_a_sorted_file_says_nothing_about_the_order_of_its_network(tmp_path):
    model, optimizer = trained()
    with (tmp_path / "model.safetensors").open("wb") as file:
        write_safetensors(file.fileno(), dict(sorted(model.state_dict().items())), {"format": "pt"})
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    (tmp_path / "trainer_state.json").write_text('{"global_step": 10, "epoch": 2.0}')
    learner = taken(tmp_path).training.learner
    assert digest(learner.optimizer.state_dict()["state"]) == digest(optimizer.state_dict()["state"])


def two_groups(model):
    bias = [one for name, one in model.named_parameters() if "bias" in name]
    rest = [one for name, one in model.named_parameters() if "bias" not in name]
    return torch.optim.Adam([{"params": rest, "weight_decay": 0.1}, {"params": bias}], lr=0.05)


def test_decayed_weights_and_others_in_two_groups_become_one(script):
    model, optimizer = trained(two_groups)
    found = taken(script(model, optimizer), weight_decay=0.1)
    learner = found.training.learner
    assert "was 0.1 for 3 parameters and 0 for 3 parameters and is 0.1 for all" in found.told
    ours = {name: learner.optimizer.state[one]["exp_avg"] for name, one in learner.model.named_parameters()}
    theirs = {name: optimizer.state[one]["exp_avg"] for name, one in model.named_parameters()}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_groups_that_cannot_be_told_apart_are_refused(script):
    path = script(*trained(lambda model: torch.optim.Adam([{"params": [one]} for one in model.parameters()])))
    assert "it has groups of [1, 1, 1, 1, 1, 1]; begin a new run with the weights alone" in refusal(path)


def test_another_kind_of_optimizer_is_refused_with_what_each_keeps(script):
    message = refusal(script(*trained()), optimizer={"name": "sgd", "momentum": 0.9})
    assert "but sgd keeps momentum_buffer, and got exp_avg, exp_avg_sq" in message


@pytest.mark.parametrize(
    "optimizer",
    [
        {"state": {0: {"exp_avg": 3, "exp_avg_sq": 3}}, "param_groups": [{"params": [0, 1, 2, 3, 4, 5]}]},
        {"state": {9: {"exp_avg": torch.ones(1)}}, "param_groups": [{"params": [0, 1, 2, 3, 4, 5]}]},
        {"state": {0: {}}, "param_groups": [{"params": [0, 0, 0, 0, 0, 0]}]},
    ],
)
def test_what_only_looks_like_an_optimizer_is_refused(script, optimizer):
    model, _ = trained()
    assert "must be that of an optimizer" in refusal(script(model, trained()[1], optimizer_state_dict=optimizer))


def test_an_optimizer_that_was_never_saved_starts_anew_and_is_listed(script):
    model, optimizer = trained()
    found = taken(script(model, optimizer, optimizer_state_dict=None))
    assert found.anew[0] == "the optimizer, at rate 0.05"
    assert found.training.learner.optimizer.state_dict()["state"] == {}


def test_a_part_that_a_layout_holds_but_a_file_lacks_is_refused(tmp_path):
    held = {"state_dict": trained()[0].state_dict(), "epoch": 2, "global_step": 10, "pytorch-lightning_version": "2.5"}
    torch.save(held, tmp_path / "last.ckpt")
    message = refusal(tmp_path / "last.ckpt")
    assert "must hold `optimizer_state_dict` as files of its layout do (Lightning), but has none" in message
    assert "--init-from" in message


def test_weights_of_another_network_are_refused_by_name(script):
    other = nn.Sequential(nn.Linear(3, 5))
    message = refusal(script(other, torch.optim.Adam(other.parameters(), lr=1.0)))
    assert "script.pth: `model_state_dict` must fit the model, but 1.weight is missing" in message


def test_weights_that_are_not_finite_are_refused(script):
    model, optimizer = trained()
    model[0].weight.data[0] = float("nan")
    assert "must have weights that are finite, but got others in 0.weight" in refusal(script(model, optimizer))


def test_an_average_that_only_the_run_has_begins_with_the_weights(script):
    model, optimizer = trained()
    found = taken(script(model, optimizer), ema=0.9)
    average = found.training.learner.average
    assert average is not None
    assert digest(average.model.state_dict()) == digest(model.state_dict())
    assert "ema_state_dict (training.ema)" in found.anew


def test_an_average_that_only_the_file_has_is_left(script):
    model, optimizer = trained()
    found = taken(script(model, optimizer, ema=model.state_dict()))
    assert "ema_state_dict: this run has none (training.ema)" in found.left


def test_what_the_checkpoint_manager_wrote_goes_on(tmp_path):
    model, optimizer = trained()
    manager = CheckpointManager(tmp_path / "mine")
    manager.save_checkpoint(1, model, optimizer, metric=0.5)
    path = manager.save_checkpoint(2, model, optimizer, metric=0.4, is_best=True, config={"lr": 1})
    found = taken(path)
    record = found.training.record
    assert (found.training.clock.epoch, found.training.clock.step) == (2, 10)
    assert (record.best_metric, record.best_step) == (0.4, 10)
    assert digest(found.training.learner.optimizer.state_dict()["state"]) == digest(optimizer.state_dict()["state"])


def test_what_save_checkpoint_wrote_goes_on_at_its_step(tmp_path):
    model, optimizer = trained()
    path = save_checkpoint(model, optimizer, 2, 12, {"loss": 0.3}, tmp_path, best_metric=0.2)
    found = taken(path)
    assert (found.training.clock.epoch, found.training.clock.step, found.training.clock.samples) == (2, 12, 48)
    assert (found.training.record.best_metric, found.training.record.best_step) == (0.2, None)
    assert "best  0.2 so far, taken for val/error; its weights are elsewhere" in found.told


def test_a_system_brings_the_layouts_of_its_own_past(tmp_path):
    model, optimizer = trained()
    old = Keyed(
        name="Tiny before 2024",
        marks=frozenset({"weights_of_tiny"}),
        parts={"model_state_dict": "weights_of_tiny", "optimizer_state_dict": "adam", "epoch": "done"},
    )
    torch.save({"weights_of_tiny": model.state_dict(), "adam": optimizer.state_dict(), "done": 2}, tmp_path / "old.pt")
    assert taken(tmp_path / "old.pt", layouts=[old]).layout == "Tiny before 2024"
    assert "must be a checkpoint in a known layout" in refusal(tmp_path / "old.pt")


def test_a_person_may_say_how_many_epochs_are_done(script):
    found = taken(script(*trained()), epoch=1)
    assert (found.training.clock.epoch, found.training.clock.step) == (1, 5)


def test_a_training_with_nothing_left_to_do_makes_no_run(script):
    message = refusal(script(*trained()), epochs=2)
    assert "`training.epochs` must be more than the 2 that are done" in message and "add --epochs 4" in message
    assert "`training.steps` must be more than the 10" in refusal(script(*trained()), steps=10)


@pytest.mark.parametrize(
    "counters,steps,expected,followed",
    [
        ({"epoch": 2, "step": 10}, None, (2, 10), ""),
        ({"epoch": 2, "step": 13}, None, (2, 13), ""),
        ({"epoch": 2}, None, (2, 10), ""),
        ({"step": 13}, None, (2, 13), ""),
        ({"epoch": 2, "step": 900}, None, (2, 10), "its epochs are followed"),
        ({"epoch": 2, "step": 3}, None, (2, 10), "its epochs are followed"),
        ({"epoch": 2, "step": 15}, None, (3, 15), "its steps are followed"),
        ({"epoch": 2, "step": 901}, 5000, (180, 901), "its steps are followed"),
        ({"epoch": 0, "step": 0}, None, (0, 0), ""),
    ],
)
def test_the_clock_starts_at_the_counters_as_this_data_counts(counters, steps, expected, followed):
    plan = SimpleNamespace(steps_per_epoch=5, steps=steps)
    position = position_in(counters, plan)
    assert position is not None
    assert (position.epoch, position.step) == expected
    assert followed in position.note and bool(followed) == bool(position.note)


@pytest.mark.parametrize("counters", [{}, {"epoch": None}, {"epoch": -1}, {"epoch": "two", "step": 1.5}])
def test_a_file_that_counts_nothing_has_no_position(counters):
    assert position_in(counters, SimpleNamespace(steps_per_epoch=5, steps=None)) is None


def test_a_killed_run_that_went_on_from_a_script_ends_in_the_same_hash_without_the_file(here, script):
    path = script(*trained())
    words = ["train", "tests.tiny:system", "--no-tensorboard", "--epochs", "4", "--resume", str(path)]
    assert forked([*words, "--name", "whole"]) == 0
    assert forked([*words, "--name", "killed"], prepare=signal_after_step(12)) == -signal.SIGKILL
    path.unlink()
    assert forked(["resume", "killed"]) == 0
    assert result(here / "runs" / "killed") == result(here / "runs" / "whole")


def test_a_file_that_does_not_name_its_system_asks_for_it(holdfast, script):
    path = script(*trained())
    code, _, err = holdfast("resume", path)
    assert code == 2
    assert f"name it: holdfast train SYSTEM --resume {path}" in err


def test_bare_weights_are_for_a_new_run(holdfast, here):
    torch.save(trained()[0].state_dict(), here / "bare.pth")
    code, _, err = holdfast("train", "tests.tiny:system", "--resume", "bare.pth")
    assert code == 2
    assert "begin a new run with its weights: holdfast train tests.tiny:system --init-from bare.pth" in err
