"""The plain script of the examples: what it saved goes on in Holdfast, value for value."""

import argparse
from pathlib import Path

import pytest
import torch
from examples.migrate import plain_script
from torch.nn import functional as F

from holdfast.checkpoint import archive
from holdfast.checkpoint.compare import digest

CONTINUE = (
    *("train", "examples.migrate.digits:system", "--no-tensorboard", "--epochs", "3", "--batch-size", "1437"),
    *("--lr", "1e-3", "--training.schedule", "{name: constant}", "--name", "new"),
)


@pytest.fixture
def old(here):
    """Two epochs of the script."""
    args = argparse.Namespace(
        output_dir=Path("old"), epochs=2, batch_size=64, lr=3e-3, weight_decay=1e-2, width=32, seed=1
    )
    plain_script.train(args)
    return here / "old" / "last.pth"


def one_step(path: Path, *, with_moments: bool) -> dict[str, torch.Tensor]:
    """Gives the weights after one more step over all digits, by hand."""
    saved = torch.load(path, weights_only=False)
    network = plain_script.make_network(32)
    network.load_state_dict(saved["model_state_dict"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    if with_moments:
        optimizer.load_state_dict(saved["optimizer_state_dict"])
        optimizer.param_groups[0]["lr"] = 1e-3
    images, labels = plain_script.read_data()[0].tensors
    F.cross_entropy(network.train()(images), labels).backward()
    optimizer.step()
    return dict(network.state_dict())


def farthest(ours, theirs) -> float:
    """Gives the largest difference of two weights; the bias before the normalisation is moved by rounding alone."""
    names = [name for name in theirs if name != "0.bias"]
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in names)


def test_the_script_goes_on_with_its_moments(holdfast, here, old):
    code, out, _ = holdfast(*CONTINUE, "--resume", old)
    assert code == 0, out
    assert "epoch 2" in out
    state = archive.read(here / "runs" / "new" / "checkpoints" / "checkpoint_latest.pth")
    assert state["epoch"] == 3
    assert farthest(state["model_state_dict"], one_step(old, with_moments=True)) < 1e-5
    assert farthest(state["model_state_dict"], one_step(old, with_moments=False)) > 1e-4


def test_the_script_goes_on_from_an_imported_file_in_the_same_way(holdfast, here, old):
    assert holdfast("import", old, "imported.pth")[0] == 0
    assert holdfast(*CONTINUE, "--resume", "imported.pth")[0] == 0
    state = archive.read(here / "runs" / "new" / "checkpoints" / "checkpoint_latest.pth")
    assert farthest(state["model_state_dict"], one_step(old, with_moments=True)) < 1e-5


def test_only_the_weights_of_the_script_begin_a_new_run(holdfast, here, old):
    assert holdfast(*CONTINUE, "--init-from", old)[0] == 0
    begun = archive.read(here / "runs" / "new" / "checkpoints" / "checkpoint_latest.pth")
    assert begun["epoch"] == 3
    assert begun["step"] == 3
    assert holdfast("export", old, "weights.pth")[0] == 0
    saved = torch.load(old, weights_only=False)["model_state_dict"]
    assert digest(torch.load("weights.pth", weights_only=True)) == digest(dict(saved))
