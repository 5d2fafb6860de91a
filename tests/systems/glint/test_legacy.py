"""Checkpoints of Glint's first script go on."""

import argparse
from datetime import datetime

import pytest
import torch
from torch import nn

from holdfast.checkpoint import archive
from holdfast.systems.glint.legacy import todays_names
from holdfast.systems.glint.model import UNet
from tests.processes import forked

TRAIN = ["train", "glint", "--data-path", "eyes", "--base-channels", "4", "--output-stride", "4", "--no-tensorboard"]


class FirstUNet(nn.Module):
    """The network with the parts in another order and under other names, as the first script had it."""

    def __init__(self, base=4, glints=8):
        super().__init__()
        a, b, c, d, e = (base * 2**level for level in range(5))
        self.enc1, self.enc2, self.enc3, self.enc4 = (self.block(*io) for io in ((1, a), (a, b), (b, c), (c, d)))
        self.bottleneck = self.block(d, e)
        self.up4 = nn.ConvTranspose2d(e, d, 2, stride=2)
        self.dec4 = self.block(e, d)
        self.up3 = nn.ConvTranspose2d(d, c, 2, stride=2)
        self.dec3 = self.block(d, c)
        self.out = nn.Conv2d(c, glints, 1)

    @staticmethod
    def block(before, after):
        first = [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        second = [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*first, *second)

    def forward(self, x):
        pool = nn.functional.max_pool2d
        one = self.enc1(x)
        two = self.enc2(pool(one, 2))
        three = self.enc3(pool(two, 2))
        four = self.enc4(pool(three, 2))
        x = self.dec4(torch.cat([self.up4(self.bottleneck(pool(four, 2))), four], 1))
        return self.out(self.dec3(torch.cat([self.up3(x), three], 1)))


def old_checkpoint(path, *, with_optimizer=True):
    """Trains the old network a little and saves it as the old script did."""
    torch.manual_seed(3)
    model = FirstUNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand(2, 1, 32, 32)).square().mean().backward()
        optimizer.step()
    state = {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "train_args": vars(argparse.Namespace(h5="train_256.h5", epochs=50, lr=1e-3, loss="focal")),
        "metrics": {"val_loss": 0.25},
        "timestamp": datetime(2026, 1, 2).isoformat(),
    }
    if with_optimizer:
        state["optimizer_state_dict"] = optimizer.state_dict()
    torch.save(state, path)
    return model


@pytest.fixture
def eyes(here):
    assert forked(["make-data", "glint", "eyes", "--samples", "20"]) == 0
    return here


def test_the_weights_of_the_first_script_give_the_same_maps_under_todays_names():
    torch.manual_seed(0)
    old = FirstUNet().eval()
    new = UNet(base_channels=4, output_stride=4, num_outputs=8)
    new.load_state_dict(todays_names(old.state_dict()))
    image = torch.rand(1, 1, 48, 64)
    assert torch.equal(new.eval()(image), old(image))


def test_a_training_goes_on_from_a_checkpoint_of_the_first_script_with_its_moments(eyes):
    model = old_checkpoint(eyes / "latest_checkpoint.pth")
    words = ["--resume", "latest_checkpoint.pth", "--epochs", "3", "--output-dir", "more", "--lr", "1e-3"]
    assert forked([*TRAIN, *words]) == 2
    assert "must be more than the 3 that are done" in (eyes / "output.log").read_text()
    assert forked([*TRAIN, *words, "--epochs", "4", "--time-limit", "1s"]) in (0, 3)
    state = archive.read(min((eyes / "more" / "checkpoints").glob("checkpoint_*.pth")))
    assert state["epoch"] in (3, 4)
    assert len(state["optimizer_state_dict"]["state"]) == len(list(model.parameters()))


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_old_weights_begin_a_new_run(eyes, with_optimizer):
    old_checkpoint(eyes / "best_model.pth", with_optimizer=with_optimizer)
    assert forked([*TRAIN, "--init-from", "best_model.pth", "--epochs", "1", "--output-dir", "warm"]) == 0
    assert "matched" in (eyes / "output.log").read_text()


def test_without_the_optimizer_the_resume_says_so_and_starts_it_anew(eyes):
    old_checkpoint(eyes / "latest_checkpoint.pth", with_optimizer=False)
    assert forked([*TRAIN, "--resume", "latest_checkpoint.pth", "--epochs", "4", "--output-dir", "more"]) == 0
    assert "the optimizer, at rate" in (eyes / "output.log").read_text()


def test_inspect_names_the_layout(eyes):
    old_checkpoint(eyes / "latest_checkpoint.pth")
    assert forked(["inspect", "latest_checkpoint.pth"]) == 0
    assert "Glint's first script" in (eyes / "output.log").read_text()
