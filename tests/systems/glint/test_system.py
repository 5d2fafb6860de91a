from pathlib import Path

import torch
from torch.utils.data import default_collate

from holdfast.config.outline import keys_of
from holdfast.systems.glint.config import (
    Bce,
    ConvertOptions,
    Dice,
    Focal,
    GlintConfig,
    GlintData,
    GlintDetection,
    GlintModel,
    GlintTraining,
    Hybrid,
)
from holdfast.systems.glint.samples import make_data
from holdfast.systems.glint.system import system

from .eyes import config_for


def test_a_handful_of_eyes_is_learned_by_heart(tmp_path: Path):
    make_data(tmp_path, 8, 1)
    config = config_for(tmp_path, model={"base_channels": 4}, loss={"name": "bce"})
    torch.manual_seed(0)
    model, loss, metrics = system.model(config), system.loss(config), system.metrics
    eyes = system.data(config).train
    batch = default_collate([eyes[index] for index in range(6)])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(model, batch)
        (value.total / value.weight).backward()
        optimizer.step()
    assert metrics is not None
    counts = metrics(config)
    with torch.no_grad():
        counts.update(loss(model, batch).outputs, batch)
    assert counts.result()["F1"] > 0.95
    assert counts.result()["Error"] < 1.0


def preset(name: str) -> GlintConfig:
    assert system.presets is not None
    return GlintConfig.from_yaml(system.presets / f"{name}.yaml")


def test_the_default_preset_says_what_the_defaults_are():
    training = preset("default").training.model_copy(update={"save_interval": "1 epoch"})
    assert preset("default").model_copy(update={"training": training}) == GlintConfig()


def test_the_tiny_preset_has_enough_parameters_to_be_worth_a_checkpoint():
    assert sum(parameter.numel() for parameter in system.model(preset("tiny")).parameters()) > 100_000


def test_monitored_is_a_metric_that_there_is():
    assert system.metrics is not None
    names = {f"val/{name}".lower() for name in system.metrics(GlintConfig()).result()}
    assert GlintConfig().training.monitor in names


def test_every_option_names_a_key():
    keys = keys_of(GlintConfig)
    assert [key for key in (*system.options.values(), *system.named_by) if key not in keys] == []


def test_every_key_has_a_help_line():
    sections = [
        GlintConfig, GlintModel, GlintData, Focal, Bce, Dice, Hybrid, GlintDetection, GlintTraining, ConvertOptions,
    ]  # fmt: skip
    fields = {
        f"{section.__name__}.{name}": field for section in sections for name, field in section.model_fields.items()
    }
    without = [key for key, field in fields.items() if not field.description and not key.endswith(".name")]
    assert without == []
