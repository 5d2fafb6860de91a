"""What scripts save: state dicts with all kinds of names, counters with all kinds of meanings."""

import pytest
import torch
from torch import nn

from holdfast import randomness
from holdfast.checkpoint.compare import digest
from holdfast.checkpoint.layouts import read_any
from holdfast.errors import CheckpointError, UserError
from tests.layouts.writers import STEPS, Trained, generators, settings, write_script


@pytest.fixture
def trained():
    return Trained()


def saved(tmp_path, content):
    path = tmp_path / "file.pth"
    torch.save(content, path)
    return read_any(path)


def test_a_script_is_found_again_value_for_value(tmp_path, trained):
    found = read_any(write_script(tmp_path / "last.pth", trained))
    assert found.layout == "plain script"
    assert digest(found.state["model_state_dict"]) == digest(trained.weights)
    assert digest(found.state["optimizer_state_dict"]) == digest(trained.optimizer.state_dict())
    assert found.state["scheduler_state_dict"] == trained.scheduler.state_dict()
    assert found.state["metrics"] == {"loss": 0.25}
    arguments = {"lr": 0.1, "data": "data/digits", "seed": 7, "sizes": [1, 2]}
    assert {key: value for key, value in found.state["config"].items() if key != "old"} == arguments
    assert found.state["config"]["old"] in ("C:/data", "C:\\data")
    assert found.missing == ()


def test_what_a_script_never_had_is_absent_and_what_is_not_known_is_left(tmp_path, trained):
    found = read_any(write_script(tmp_path / "last.pth", trained, scheduler_state_dict=None, colours="red"))
    assert "scheduler_state_dict" in found.absent
    assert {"samples", "rng_state", "best_metric"} <= set(found.absent)
    assert [one.name for one in found.left] == ["colours"]


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_wrappers_are_taken_off_the_names(tmp_path, trained, prefix):
    wrapped = {prefix + name: tensor for name, tensor in trained.weights.items()}
    found = saved(tmp_path, wrapped)
    assert list(found.state["model_state_dict"]) == list(trained.weights)
    assert found.layout == "bare weights"
    assert all(word in " ".join(found.notes) for word in ("module.", "_orig_mod.") if word in prefix)


def test_a_compiled_part_of_a_network_loses_its_wrapper_and_a_module_of_that_name_stays(tmp_path):
    weights = {"encoder._orig_mod.0.weight": torch.ones(2), "head.module.weight": torch.ones(3)}
    found = saved(tmp_path, weights)
    assert list(found.state["model_state_dict"]) == ["encoder.0.weight", "head.module.weight"]


def test_names_that_would_fall_together_stay_as_they_are(tmp_path):
    weights = {"_orig_mod.a": torch.ones(2), "a": torch.zeros(2)}
    assert list(saved(tmp_path, weights).state["model_state_dict"]) == ["_orig_mod.a", "a"]


@pytest.mark.parametrize(
    "names, epoch",
    [
        (("model_state_dict", "optimizer_state_dict"), 5),  # the tutorials: the index of the last epoch
        (("model", "optimizer", "lr_scheduler", "args"), 5),  # torchvision, DETR
        (("state_dict", "optimizer", "best_acc1", "arch"), 4),  # the ImageNet example: epochs that are done
        (("state_dict", "optimizer", "best_prec1"), 4),
        (("net", "optimizer"), 5),
    ],
)
def test_whose_epoch_means_what(tmp_path, trained, names, epoch):
    known = {"optimizer": trained.optimizer.state_dict(), "lr_scheduler": trained.scheduler.state_dict()}
    others = {"args": settings(), "best_acc1": torch.tensor(91.0), "best_prec1": 91.0, "arch": "resnet18"}
    content = {name: (known | others).get(name, trained.weights) for name in names}
    found = saved(tmp_path, {"epoch": 4, **content})
    assert found.state["epoch"] == epoch
    assert "epoch" in " ".join(found.notes)


def test_timm_counts_from_0_since_its_version_2(tmp_path, trained):
    content = {"epoch": 4, "arch": "vit", "state_dict": trained.weights, "best_acc1": 1.0, "version": 2}
    assert saved(tmp_path, content).state["epoch"] == 5
    assert saved(tmp_path, content | {"version": 1}).state["epoch"] == 4


def test_the_optimizer_knows_the_steps_that_the_file_does_not_say(tmp_path, trained):
    found = saved(tmp_path, {"model": trained.weights, "optimizer": trained.optimizer.state_dict()})
    assert found.state["step"] == STEPS
    assert any("optimizer" in note for note in found.notes)
    assert saved(tmp_path, {"model": trained.weights, "iteration": 40}).state["step"] == 40


def test_averages_are_taken_with_how_many_states_they_hold(tmp_path, trained):
    average = torch.optim.swa_utils.AveragedModel(trained.network)
    average.update_parameters(trained.network)
    found = saved(tmp_path, {"model": trained.weights, "model_ema": average.state_dict()})
    assert found.state["ema_state_dict"]["updates"] == 1
    assert digest(found.state["ema_state_dict"]["model_state_dict"]) == digest(trained.weights)


def test_generators_are_taken_in_the_form_that_can_be_restored(tmp_path, trained):
    held = generators()
    content = {"model": trained.weights, "rng_state": {**held, "torch": held["cpu"]}}
    found = saved(tmp_path, content)
    expected = torch.rand(3)
    randomness.restore(found.state["rng_state"])
    assert torch.equal(torch.rand(3), expected)


def test_a_whole_network_that_was_pickled_becomes_its_weights(tmp_path, trained):
    found = saved(tmp_path, trained.network)
    assert digest(found.state["model_state_dict"]) == digest(trained.weights)
    found = saved(tmp_path, {"epoch": 0, "model": nn.Sequential(trained.network)})
    assert "0.1.running_mean" in found.state["model_state_dict"]


def test_an_unknown_dictionary_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(CheckpointError, match="a dictionary of colours, shapes"):
        saved(tmp_path, {"colours": 1, "shapes": 2})
    with pytest.raises(CheckpointError, match="a list"):
        saved(tmp_path, [1, 2])


def test_nothing_of_that_name_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="nothing of that name"):
        read_any(tmp_path / "nowhere.pth")
