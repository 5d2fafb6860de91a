"""Glint learns: on generated eyes, judged on eyes that were drawn after the training and chose nothing in it."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import holdfast
from holdfast.cli.main import run
from holdfast.systems.glint.peaks import find_peaks
from holdfast.systems.glint.samples import draw_eye, make_data
from holdfast.systems.glint.system import system


def judged(model: torch.nn.Module, config: Any, *, size: int, eyes: int = 64) -> dict[str, float]:
    """Gives F1 and the mean error against the true places, not against maps of them."""
    drawn = [draw_eye(size, (4242, 0, number)) for number in range(eyes)]
    images = torch.stack([torch.from_numpy(eye.image)[None] / 255 for eye in drawn])
    places = torch.stack([torch.from_numpy(eye.positions) for eye in drawn])
    exists = torch.stack([torch.from_numpy(eye.present) for eye in drawn]).bool()
    model.eval()
    with torch.no_grad():
        maps: Tensor = torch.sigmoid(torch.cat([model(part) for part in images.split(16)]))
    found = find_peaks(maps, stride=config.model.output_stride, threshold=config.detection.threshold)
    distance = (found.positions - places).norm(dim=-1)
    hits = found.found & exists & (distance <= config.detection.tolerance)
    return {
        "F1": 2 * int(hits.sum()) / max(1, int(found.found.sum() + exists.sum())),
        "Error": float(distance[hits].mean()) if hits.any() else config.detection.tolerance,
    }


@pytest.mark.parametrize("loss", ["focal", "hybrid"])
def test_some_seconds_of_training_show(here: Path, loss: str):
    make_data(here / "eyes", 120, 1, image_size=64)
    request = {
        "data": {"path": "eyes"},
        "model": {"base_channels": 8, "output_stride": 2},
        "loss": {"name": loss},
        "training": {"lr": 4e-3, "batch_size": 4, "epochs": 8, "schedule": "cosine"},
        "logging": {"tensorboard": False},
    }
    trained = holdfast.load_run(holdfast.train(system, request), checkpoint="latest")
    scores = judged(trained.model, trained.config, size=64)
    assert scores["F1"] >= 0.7
    assert scores["Error"] <= 1.3
    untrained = system.model(trained.config)
    assert judged(untrained, trained.config, size=64)["F1"] < 0.1, "eyes are not so simple that anything finds glints"


@pytest.mark.long
@pytest.mark.parametrize("data_seed", [1000, 2])
@pytest.mark.parametrize("loss", ["focal", "hybrid"])
def test_the_tiny_preset_locates_glints_to_half_a_pixel_in_three_minutes(here: Path, loss: str, data_seed: int):
    # One thread, and the time that it computes: less than two cores have in three minutes, whatever else they do.
    began, computed = time.monotonic(), time.process_time()
    assert run(["make-data", "glint", "eyes", "--seed", str(data_seed)]) == 0
    words = ["--preset", "tiny", "--data-path", "eyes", "--loss", loss, "--name", "tiny"]
    assert run(["train", "glint", *words]) == 0
    took, computed = time.monotonic() - began, time.process_time() - computed
    trained = holdfast.load_run("runs/tiny")
    config = trained.config.training
    assert (config.optimizer.name, config.ema) == ("adam", None)
    assert sum(weights.numel() for weights in trained.model.parameters()) >= 100_000
    scores = judged(trained.model, trained.config, size=96, eyes=200)
    print(f"{loss}, eyes {data_seed}: F1 {scores['F1']:.4f}, error {scores['Error']:.3f} px; {took:.0f} s, ", end="")
    print(f"{computed:.0f} s of one core")
    assert computed <= 180
    for kept in (scores, {name.removeprefix("val/"): value for name, value in trained.metrics.items()}):
        assert kept["F1"] >= 0.95
        assert kept["Error"] <= 0.5
