"""Checkpoints that the real libraries wrote are found again, value for value, and go on.

Needs the libraries: `pip install -c constraints.txt -e ".[migrate]"`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from examples.migrate.plain_script import make_network, read_data
from torch.nn import functional as F

from holdfast.checkpoint import archive
from holdfast.checkpoint.compare import digest
from holdfast.checkpoint.layouts import read_any
from tests.layouts.writers import Trained, write_accelerate_folder, write_lightning, write_trainer_folder
from tests.migrate.test_plain_script import CONTINUE, farthest

ROOT = Path(__file__).parents[2]
LIBRARIES = ("lightning", "transformers", "accelerate")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, LIBRARIES)),
        reason=f"needs {', '.join(LIBRARIES)}: pip install -c constraints.txt -e '.[migrate]'",
    ),
]


def run_python(*words) -> str:
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """What the examples and the other cases wrote."""
    place = tmp_path_factory.mktemp("old")
    for name in ("plain", "lightning", "hf_trainer"):
        words = ["--epochs", "2", "--weight-decay", "0", "--output-dir", place / name]
        run_python(ROOT / "examples" / "migrate" / f"{name}_script.py", *words)
    run_python(ROOT / "tests" / "migrate" / "libraries.py", place)
    return place


def sorted_digest(weights) -> str:
    return digest(dict(sorted(weights.items())))


@pytest.mark.parametrize("name", ["within", "evaluated0", "evaluated1", "ended1", "ended2", "after"])
def test_lightning_is_found_again_at_every_moment(old, name):
    found = read_any(old / "moments" / f"{name}.ckpt")
    expected = torch.load(old / "moments" / f"{name}.ckpt.expected", weights_only=True)
    assert (found.layout, found.missing) == ("Lightning", ())
    assert (found.state["epoch"], found.state["step"]) == (expected["epoch"], expected["step"])
    assert digest(found.state["model_state_dict"]) == digest(dict(expected["weights"]))
    assert digest(found.state["optimizer_state_dict"]) == digest(expected["optimizer"])
    assert found.state["config"] == {"width": 16, "lr": 1e-2, "weight_decay": 1e-2}


def test_averages_of_lightning_are_told_from_the_weights(old):
    found = read_any(old / "moments" / "averaged.ckpt")
    held = torch.load(old / "moments" / "averaged.ckpt", weights_only=True)
    for part, name in {"model_state_dict": "current_model_state", "ema_state_dict": "state_dict"}.items():
        state = found.state[part].get("model_state_dict", found.state[part])
        assert digest(list(state.values())) == digest(list(held[name].values()))
    assert found.state["ema_state_dict"]["updates"] == found.state["step"]


@pytest.mark.parametrize("name", ["safe", "unsafe"])
def test_accelerate_is_found_again(old, name):
    found = read_any(old / "accelerate" / name)
    expected = torch.load(old / "accelerate" / f"{name}.expected", weights_only=True)
    assert (found.layout, found.missing) == ("Accelerate", ())
    assert sorted_digest(found.state["model_state_dict"]) == sorted_digest(expected["weights"])
    assert digest(found.state["optimizer_state_dict"]) == digest(expected["optimizer"])
    assert found.state["step"] == expected["step"]
    sharded = read_any(old / "accelerate" / "model")
    assert len(list((old / "accelerate" / "model").glob("model-*.safetensors"))) > 1
    assert sorted_digest(sharded.state["model_state_dict"]) == sorted_digest(expected["weights"])


def test_the_trainer_is_found_again(old):
    from safetensors.torch import load_file

    folder = old / "hf_trainer" / "checkpoint-46"
    found = read_any(folder)
    state = json.loads((folder / "trainer_state.json").read_text())
    assert (found.layout, found.missing) == ("Hugging Face Trainer", ())
    assert (found.state["epoch"], found.state["step"]) == (2, 46)
    assert found.state["best_metric"] == state["best_metric"]
    assert found.state["metrics"]["val/acc"] == state["log_history"][-1]["eval_acc"]
    assert sorted_digest(found.state["model_state_dict"]) == sorted_digest(load_file(folder / "model.safetensors"))
    optimizer = torch.load(folder / "optimizer.pt", weights_only=True)
    assert digest(found.state["optimizer_state_dict"]) == digest(optimizer)
    code = f"import torch; held = torch.load({str(folder / 'training_args.bin')!r}, weights_only=False);"
    told = run_python("-c", f"{code} print(held.learning_rate, held.num_train_epochs, held.lr_scheduler_type.value)")
    config = found.state["config"]
    assert told.split() == [str(config[n]) for n in ("learning_rate", "num_train_epochs", "lr_scheduler_type")]


def test_the_forms_of_the_ordinary_tests_are_those_of_the_libraries(old, tmp_path):
    trained = Trained()
    made = torch.load(write_lightning(tmp_path / "last.ckpt", trained), weights_only=True)
    assert set(made) == set(torch.load(old / "lightning" / "last.ckpt", weights_only=True))
    for write, folder in (
        (write_trainer_folder, old / "hf_trainer" / "checkpoint-46"),
        (write_accelerate_folder, old / "accelerate" / "safe"),
    ):
        names = {path.name for path in write(tmp_path / write.__name__, trained).iterdir()}
        assert names - {"custom_checkpoint_0.pkl"} == {path.name for path in folder.iterdir()}


def one_step(path: Path, *, with_moments: bool) -> dict[str, torch.Tensor]:
    """Gives the weights after one more step over all digits, by hand, as the library itself would load them."""
    network = make_network(32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0)
    if path.is_dir():
        from safetensors.torch import load_file

        network.load_state_dict(load_file(path / "model.safetensors"))
        named = dict(network.named_parameters())
        groups = [[named[name] for name in named if ("bias" in name) == is_bias] for is_bias in (False, True)]
        optimizer = torch.optim.AdamW([{"params": group} for group in groups], lr=1e-3, weight_decay=0)
        moments = torch.load(path / "optimizer.pt", weights_only=True)
    else:
        saved = torch.load(path, weights_only=False)
        weights = saved.get("model_state_dict") or saved["state_dict"]
        network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})
        moments = saved.get("optimizer_state_dict") or saved["optimizer_states"][0]
    if with_moments:
        optimizer.load_state_dict(moments)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
    images, labels = read_data()[0].tensors
    F.cross_entropy(network.train()(images), labels).backward()
    optimizer.step()
    return dict(network.state_dict())


@pytest.mark.parametrize("path", ["plain/last.pth", "lightning/last.ckpt", "hf_trainer/checkpoint-46"])
@pytest.mark.parametrize("is_imported", [False, True])
def test_each_goes_on_with_its_moments(holdfast, here, old, path, is_imported):
    source = old / path
    if is_imported:
        assert holdfast("import", source, "imported.pth")[0] == 0
        assert holdfast("compare", source, "imported.pth", "--exit-code")[0] == 0
        source = here / "imported.pth"
    code, out, err = holdfast(*CONTINUE, "--weight-decay", "0", "--resume", source)
    assert code == 0, (out, err)
    state = archive.read(here / "runs" / "new" / "checkpoints" / "checkpoint_latest.pth")
    assert state["epoch"] == 3
    assert farthest(state["model_state_dict"], one_step(old / path, with_moments=True)) < 1e-5
    assert farthest(state["model_state_dict"], one_step(old / path, with_moments=False)) > 1e-4


@pytest.mark.parametrize("path", ["plain/last.pth", "lightning/last.ckpt", "hf_trainer/checkpoint-46"])
def test_each_gives_its_weights_to_a_new_run_and_to_safetensors(holdfast, here, old, path):
    from safetensors.torch import load_file

    assert holdfast(*CONTINUE, "--init-from", old / path)[0] == 0
    assert holdfast("inspect", old / path)[0] == 0
    assert holdfast("export", old / path, "weights.safetensors")[0] == 0
    weights = read_any(old / path).state["model_state_dict"]
    assert sorted_digest(load_file("weights.safetensors")) == sorted_digest(weights)
