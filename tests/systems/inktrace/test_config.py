from pathlib import Path

import pytest

from holdfast.config import ConfigError, flatten, load_layer, parse_options, resolve
from holdfast.config.section import Section, sections_in
from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.system import system

assert system.presets is not None
PRESETS = system.presets


def preset(name: str, *, stage: str | None = None, options: str = "") -> InkTraceConfig:
    words = parse_options(options.split(), InkTraceConfig, aliases=system.options)
    return resolve(InkTraceConfig, [load_layer(PRESETS / f"{name}.yaml")], stage=stage, overrides=words).config


def mistakes(text: str, tmp_path: Path) -> list[str]:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        resolve(InkTraceConfig, [load_layer(tmp_path / "mine.yaml")])
    return error.value.mistakes


def test_base_says_what_the_defaults_are_but_for_saving_and_workers():
    base = flatten(preset("base").model_dump(mode="json"))
    different = {key for key, value in flatten(InkTraceConfig().model_dump(mode="json")).items() if base[key] != value}
    assert different == {"data.epoch_length", "data.num_workers", "training.save_interval"}


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_both_stages_are_there_and_the_second_begins_with_the_first(name: str):
    config = preset(name)
    assert [stage.name for stage in config.stages] == ["structural", "dense"]
    assert [stage.init_from for stage in config.stages] == [None, "best_structural.pth"]
    structural, dense = (preset(name, stage=stage) for stage in ("structural", "dense"))
    assert (structural.model.full_heads, structural.training.mask_ratio) == (False, 0.6)
    assert (dense.model.full_heads, dense.training.mask_ratio) == (True, None)
    same = {"embed_dim", "num_layers", "num_heads", "channels"}
    assert structural.model.model_dump(include=same) == dense.model.model_dump(include=same)


def test_the_epochs_of_a_stage_are_its_training_epochs():
    """In the original they never got there."""
    assert preset("default", stage="structural").training.epochs == 30
    assert preset("default", stage="dense").training.epochs == 50


def test_a_stage_changes_what_it_names_and_leaves_the_rest_of_a_section():
    """In the original a stage's `training.curriculum` replaced the whole of it."""
    structural = preset("default", stage="structural").training
    assert (structural.curriculum.start, structural.curriculum.end) == (2, 2)
    assert structural.curriculum.epochs_per_level == 8
    assert (structural.batch_size, structural.weight_decay, structural.clip) == (32, 1e-4, 1.0)


def test_the_published_rates_are_those_of_the_stages():
    assert [preset("default", stage=name).training.lr for name in ("structural", "dense")] == [1e-3, 5e-4]


@pytest.mark.parametrize("name", ["structural", "dense"])
def test_a_stage_has_a_preset_of_its_own_that_is_the_same(name: str):
    alone = preset(name, stage=name).model_dump(exclude={"stages"})
    assert alone == preset("default", stage=name).model_dump(exclude={"stages"})
    assert [stage.init_from for stage in preset(name).stages] == [None]


def test_the_words_of_the_contract_load(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("system: inktrace\nmodel: {embed_dim: 64}\n")
    (tmp_path / "mine.yaml").write_text("""
extends: base.yaml
seed: 1000
model: {num_layers: 4}
data: {path: null, img_size: 64, num_workers: 4}
training: {lr: 1e-3, batch_size: 32, epochs: 50, weight_decay: 1e-4, save_interval: 5, keep_last_n: 3, amp: false,
           resume: null, subset_size: null, subset_seed: 42, overfit: false}
stages:
  - {name: structural, epochs: 30, model: {full_heads: false}, training: {mask_ratio: 0.6}}
  - {name: dense, epochs: 50, init_from: best_structural.pth, model: {full_heads: true}}
""")
    config = InkTraceConfig.from_yaml(tmp_path / "mine.yaml")
    assert (config.model.embed_dim, config.model.num_layers, config.training.lr) == (64, 4, 0.001)


def test_the_command_line_wins_over_the_file_and_the_stage():
    config = preset(
        "default", stage="dense", options="--lr 1e-2 --epochs 1 --batch_size 8 --embed_dim 64 --num_layers 2"
    )
    assert (config.training.lr, config.training.epochs, config.training.batch_size) == (1e-2, 1, 8)
    assert (config.model.embed_dim, config.model.num_layers) == (64, 2)


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5])
def test_a_mask_ratio_that_hides_nothing_or_everything_is_refused(tmp_path: Path, ratio: float):
    (line,) = mistakes(f"training: {{mask_ratio: {ratio}}}", tmp_path)
    assert "mine.yaml:1:" in line and "`training.mask_ratio` must be" in line and str(ratio) in line


def test_misplaced_and_misspelled_keys_are_told_where_they_belong(tmp_path: Path):
    text = "model: {lr: 1e-3}\ndata: {batch_size: 32}\ntraining: {mask_ration: 0.6}\n"
    rate, batch, ratio = mistakes(text, tmp_path)
    assert "unknown key 'model.lr' (did you mean 'training.lr'?)" in rate
    assert "unknown key 'data.batch_size' (did you mean 'training.batch_size'?)" in batch
    assert "did you mean 'mask_ratio'?" in ratio


@pytest.mark.parametrize(
    "text, message",
    [
        ("model: {embed_dim: 30}", "must be a multiple of `num_heads`, but got 30 and 4; choose 32"),
        ("model: {channels: 40}", "must be a multiple of four times `num_heads`, but got 40 and 4; choose 48"),
        ("data: {img_size: 60}", "`data.img_size` must be a multiple of 8, but got 60; choose 64"),
        ("training: {curriculum: {start: 5, end: 2}}", "`end` must be at least `start`, but got 2 and 5"),
        ("training: {curriculum: {end: 10}}", "must be less than or equal to 9, but got 10"),
        ("training: {mask: blocks}", "must be one of block, pixel, stroke, but got 'blocks' (did you mean 'block'?)"),
        ("loss: {structural: {skeleton: 0, tangent: 0}}", "`structural` must give a weight to something"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(tmp_path: Path, text: str, message: str):
    assert message in "\n".join(mistakes(text, tmp_path))


def test_the_tiny_networks_are_worth_a_checkpoint():
    for stage in ("structural", "dense"):
        model = system.model(preset("tiny", stage=stage))
        assert sum(parameter.numel() for parameter in model.parameters()) > 90_000


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_monitored_is_a_metric_of_held_out_data_that_both_stages_have(name: str):
    """The original chose the best by the loss on what it trained on."""
    assert system.metrics is not None
    for stage in ("structural", "dense"):
        config = preset(name, stage=stage)
        names = {"val/loss", *(f"val/{metric}".lower() for metric in system.metrics(config).result())}
        assert config.training.monitor in names


def test_every_option_names_a_key():
    keys = flatten(InkTraceConfig().model_dump())
    assert [key for key in (*system.options.values(), *system.named_by) if key not in keys] == []


def sections(section: type[Section]) -> set[type[Section]]:
    inner = {each for field in section.model_fields.values() for each in sections_in(field.annotation)}
    return {section}.union(*(sections(each) for each in inner))


def test_every_key_has_a_help_line():
    fields = {
        f"{section.__name__}.{name}": field
        for section in sections(InkTraceConfig)
        for name, field in section.model_fields.items()
    }
    without = [key for key, field in fields.items() if not field.description and not key.endswith(".name")]
    assert without == []
