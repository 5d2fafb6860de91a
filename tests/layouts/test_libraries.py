"""What libraries save, in the form in which they save it."""

import json
import shutil

import pytest
import torch

from holdfast import randomness
from holdfast.checkpoint.compare import digest
from holdfast.checkpoint.layouts import read_any
from holdfast.checkpoint.layouts.groups import as_one_group
from holdfast.errors import CheckpointError, UnsafeFile
from tests.layouts.writers import (
    STEPS,
    Trained,
    network,
    write_accelerate_folder,
    write_lightning,
    write_mmengine,
    write_trainer_folder,
    write_weights,
)


@pytest.fixture
def trained():
    return Trained()


def in_order(weights):
    return dict(sorted(weights.items()))


def check_parts(found, trained):
    """What every library keeps, value for value."""
    assert digest(in_order(found.state["model_state_dict"])) == digest(in_order(trained.weights))
    assert digest(found.state["optimizer_state_dict"]) == digest(trained.optimizer.state_dict())
    assert found.state["scheduler_state_dict"] == trained.scheduler.state_dict()
    assert found.state["step"] == STEPS
    assert found.missing == ()


def test_lightning_is_found_again_value_for_value(tmp_path, trained):
    found = read_any(write_lightning(tmp_path / "last.ckpt", trained))
    check_parts(found, trained)
    assert (found.layout, found.state["epoch"], found.state["best_metric"]) == ("Lightning", 3, 93.5)
    assert found.state["config"] == {"width": 4, "lr": 0.1}
    assert "metric" in found.absent
    assert any("`network.`" in note for note in found.notes)


def test_the_best_file_of_lightning_is_known_by_its_name(tmp_path, trained):
    found = read_any(write_lightning(tmp_path / "best.ckpt", trained))
    assert (found.state["metric"], found.state["best_step"]) == (93.5, STEPS)


@pytest.mark.parametrize(
    "progress, epoch",
    [
        ({"started": 3, "processed": 3, "is_last": True}, 3),  # at the end of an epoch, or after the training
        ({"started": 3, "processed": 2, "is_last": True}, 3),  # at the evaluation that follows the last batch
        ({"started": 3, "processed": 2, "is_last": False}, 2),  # within an epoch
    ],
)
def test_the_loops_of_lightning_say_how_many_epochs_are_done(tmp_path, trained, progress, epoch):
    found = read_any(write_lightning(tmp_path / "last.ckpt", trained, **progress))
    assert found.state["epoch"] == epoch
    assert any("within epoch" in note for note in found.notes) == (not progress["is_last"])


def test_old_lightning_counted_finished_epochs(tmp_path, trained):
    old = {"pytorch-lightning_version": "1.4.2", "loops": {}}
    assert read_any(write_lightning(tmp_path / "a.ckpt", trained, **old)).state["epoch"] == 2


def test_averages_of_lightning_stand_where_the_weights_were(tmp_path, trained):
    average = {f"network.{name}": tensor + 1 for name, tensor in trained.weights.items()}
    raw = {f"network.{name}": tensor for name, tensor in trained.weights.items()}
    more = {"state_dict": average, "current_model_state": raw, "averaging_state": {"n_averaged": torch.tensor(5)}}
    found = read_any(write_lightning(tmp_path / "last.ckpt", trained, **more))
    assert digest(found.state["model_state_dict"]) == digest(trained.weights)
    assert found.state["ema_state_dict"]["updates"] == 5
    assert list(found.state["ema_state_dict"]["model_state_dict"]) == list(trained.weights)


def test_lightning_without_an_optimizer_misses_it_and_several_are_left(tmp_path, trained):
    path = write_lightning(tmp_path / "last.ckpt", trained)
    content = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in content.items() if name != "optimizer_states"}, path)
    assert read_any(path).missing == ("optimizer_state_dict",)
    torch.save(content | {"optimizer_states": content["optimizer_states"] * 2}, path)
    found = read_any(path)
    assert "optimizer_state_dict" in found.missing
    assert "optimizer_states" in [one.name for one in found.left]


@pytest.mark.parametrize("shards", [False, True])
def test_the_trainer_folder_is_found_again_value_for_value(tmp_path, trained, shards):
    found = read_any(write_trainer_folder(tmp_path / "checkpoint-6", trained, shards=shards))
    check_parts(found, trained)
    assert (found.layout, found.state["epoch"]) == ("Hugging Face Trainer", 2)
    assert (found.state["best_metric"], found.state["best_step"], found.state["metric"]) == (77.5, 3, 75.0)
    assert found.state["metrics"] == {"val/acc": 75.0, "val/loss": 1.5}
    assert found.state["config"] == {"learning_rate": 0.1, "output_dir": "old", "lr_scheduler_type": "linear"}
    assert not found.in_order
    randomness.restore(found.state["rng_state"])


def test_a_trainer_folder_from_within_an_epoch_says_so(tmp_path, trained):
    found = read_any(write_trainer_folder(tmp_path / "checkpoint-6", trained, epoch=2.75))
    assert found.state["epoch"] == 2
    assert found.notes == ("saved within epoch 3, at 2.75",)


def test_a_missing_shard_and_one_that_lies_elsewhere_are_refused(tmp_path, trained):
    folder = write_trainer_folder(tmp_path / "checkpoint-6", trained, shards=True)
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())
    (folder / "model-00002-of-00002.safetensors").rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors"):
        read_any(folder)
    places["weight_map"] = dict.fromkeys(places["weight_map"], "../elsewhere.safetensors")
    index.write_text(json.dumps(places))
    with pytest.raises(UnsafeFile, match="own folder"):
        read_any(folder)


def test_a_folder_of_a_model_is_bare_weights(tmp_path, trained):
    write_weights(tmp_path / "model", trained.weights, shards=True)
    found = read_any(tmp_path / "model")
    assert found.layout == "folder of weights"
    assert sorted(found.state["model_state_dict"]) == sorted(trained.weights)
    with pytest.raises(CheckpointError, match=r"a folder with model/; name a checkpoint in it"):
        read_any(tmp_path)


@pytest.mark.parametrize("safe", [True, False])
def test_the_accelerate_folder_is_found_again_value_for_value(tmp_path, trained, safe):
    found = read_any(write_accelerate_folder(tmp_path / "state", trained, safe=safe))
    check_parts(found, trained)
    assert found.layout == "Accelerate"
    assert found.in_order == (not safe)
    assert "epoch" in found.absent
    assert [one.name for one in found.left] == ["custom_checkpoint_0.pkl"]
    randomness.restore(found.state["rng_state"])


def test_mmengine_is_found_again_value_for_value(tmp_path, trained):
    found = read_any(write_mmengine(tmp_path / "epoch_2.pth", trained))
    check_parts(found, trained)
    assert (found.layout, found.state["epoch"], found.state["best_metric"]) == ("MMEngine", 2, 0.5)
    assert found.state["config"] == {"cfg": "lr = 0.1\n", "seed": 3}
    assert found.state["ema_state_dict"] is None
    assert "mmengine.logging.history_buffer.HistoryBuffer" in found.opaque


def test_mmengine_swaps_the_weights_with_their_averages(tmp_path, trained):
    average = {name: tensor + 1 for name, tensor in trained.weights.items()}
    found = read_any(write_mmengine(tmp_path / "epoch_2.pth", trained, average=average))
    assert digest(found.state["model_state_dict"]) == digest(trained.weights)
    assert digest(found.state["ema_state_dict"]) == digest({"updates": STEPS, "model_state_dict": average})


def test_a_file_of_safetensors_is_bare_weights(tmp_path, trained):
    write_weights(tmp_path, trained.weights)
    found = read_any(tmp_path / "model.safetensors")
    assert found.layout == "bare weights"
    assert digest(in_order(found.state["model_state_dict"])) == digest(in_order(trained.weights))


def test_the_two_groups_of_the_trainer_become_one_only_where_that_is_certain():
    torch.manual_seed(0)
    model = network()
    named = dict(model.named_parameters())
    exempt = [name for name in named if "bias" in name]
    groups = [{"params": [named[name] for name in named if name not in exempt]}, {"params": [named[n] for n in exempt]}]
    two = torch.optim.AdamW(groups, lr=0.1)
    one = torch.optim.AdamW(named.values(), lr=0.1)
    model(torch.randn(8, 3)).square().mean().backward()
    two.step()
    expected = network()
    expected.load_state_dict(model.state_dict())
    joined = as_one_group(two.state_dict(), named)
    assert joined is not None
    one.load_state_dict(joined)
    for name, parameter in named.items():
        assert torch.equal(one.state[parameter]["exp_avg"], two.state[parameter]["exp_avg"]), name
    two.param_groups[0]["weight_decay"] = 0.5
    assert as_one_group(two.state_dict(), named) is None
    assert as_one_group(one.state_dict(), named) is None


def test_files_beside_a_checkpoint_are_left_alone(tmp_path, trained):
    folder = write_trainer_folder(tmp_path / "checkpoint-6", trained)
    (folder / "notes.pkl").write_bytes(b"not a pickle")
    (folder / "deep").mkdir()
    shutil.copy(folder / "optimizer.pt", folder / "deep")
    assert read_any(folder).state["step"] == STEPS
