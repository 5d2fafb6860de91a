import json

import pytest

from holdfast.config import ConfigError, flatten, load_layer, parse_options, plain_layer, resolve
from tests.config.example import Example, mistakes_of, resolved, write


def test_the_command_line_wins_over_the_stage_the_stage_over_the_file_the_file_over_the_preset(folder):
    preset = write(folder, "tiny.yaml", "training: {lr: 1, epochs: 1, warmup: 1, clip: 1}\n")
    write(folder, "base.yaml", "training: {epochs: 2, warmup: 2, clip: 2, accumulation: 2}\n")
    file = write(
        folder,
        "exp.yaml",
        """\
        extends: base.yaml
        training: {warmup: 3, clip: 3}
        stages:
          - {name: dense, training: {clip: 4, keep_last_n: 4}}
        """,
    )
    words = parse_options(["--keep-last-n", "5"], Example, aliases={})
    layers = [load_layer(preset, label="preset tiny"), load_layer(file)]
    done = resolve(Example, layers, stage="dense", overrides=words)
    keys = ("lr", "epochs", "warmup", "clip", "keep_last_n", "accumulation", "batch_size")
    assert {key: (done.values["training"][key], done.origins[f"training.{key}"]) for key in keys} == {
        "lr": (1.0, "preset tiny:1:12"),
        "epochs": (2, "base.yaml:1:12"),
        "warmup": (3, "exp.yaml:2:12"),
        "clip": (4.0, "exp.yaml:4:30"),
        "keep_last_n": (5, "command line --keep-last-n"),
        "accumulation": (2, "base.yaml:1:43"),
        "batch_size": (32, "default"),
    }


def test_every_leaf_has_an_origin_and_the_values_are_plain(folder):
    done = resolved(write(folder, "exp.yaml", "model: resnet\nstages: [{name: a, epochs: 2}]\n"))
    assert set(done.origins) == set(flatten(done.values))
    assert json.loads(json.dumps(done.values)) == done.values
    assert (done.origins["model.name"], done.origins["model.depth"]) == ("exp.yaml:1:1", "default")


def test_an_empty_section_is_fine(folder):
    assert resolved(write(folder, "exp.yaml", "training:\nloss:\n")).config == Example()


def test_the_values_of_one_layer_are_checked_only_where_they_count(folder):
    path = write(folder, "exp.yaml", "training: {lr: fast}\n")
    assert resolved(path, "--lr", "1").config.training.lr == 1.0


def test_the_epochs_of_a_stage_are_its_training_epochs(folder):
    path = write(folder, "exp.yaml", "stages:\n  - {name: a, epochs: 3}\n  - {name: b, model: resnet}\n")
    first = resolved(path, stage="a")
    assert (first.config.training.epochs, first.origins["training.epochs"]) == (3, "exp.yaml:2:15")
    assert resolved(path, stage="b").config.training.epochs == 50
    assert (first.stage, resolved(path).stage) == ("a", None)


def test_without_a_stage_the_shared_configuration_is_given(folder):
    path = write(folder, "exp.yaml", "training: {epochs: 7}\nstages: [{name: a, epochs: 3}]\n")
    assert resolved(path).config.training.epochs == 7


def test_a_stage_may_choose_another_network(folder):
    path = write(folder, "exp.yaml", "model: {hidden: 8}\nstages: [{name: a, model: {name: resnet, depth: 34}}]\n")
    assert resolved(path, stage="a").values["model"] == {"name": "resnet", "depth": 34, "widths": [64, 128]}


def test_a_stage_keeps_where_its_weights_come_from(folder):
    path = write(folder, "exp.yaml", "stages: [{name: a}, {name: b, init_from: best_a.pth}]\n")
    assert [stage.init_from for stage in resolved(path).config.stages] == [None, "best_a.pth"]


def test_an_unknown_stage_is_refused_with_the_known_ones(folder):
    path = write(folder, "exp.yaml", "stages: [{name: structural}, {name: dense}]\n")
    assert mistakes_of(path, stage="dens") == [
        "`stage` must be one of structural, dense, but got 'dens' (did you mean 'dense'?)"
    ]


def test_a_run_without_stages_has_one_named_train(folder):
    path = write(folder, "exp.yaml", "seed: 1\n")
    assert resolved(path, stage="train").stage is None
    assert mistakes_of(path, stage="dense") == ["`stage` must be one of train, but got 'dense'"]


def test_every_stage_is_checked_whichever_is_asked_for(folder):
    path = write(
        folder,
        "exp.yaml",
        """\
        stages:
          - {name: a}
          - name: b
            epochs: 0
            epohcs: 3
            model: {name: resnet, depth: 1}
            training: {lrr: 3}
        """,
    )
    expected = [
        "exp.yaml:4:5: `training.epochs` must be greater than 0, but got 0",
        "exp.yaml:5:5: unknown key 'epohcs' (did you mean 'epochs'?); known keys here: data, device, epochs, extra, "
        "init_from, least_matched, leave, logging, loss, model, name, run, seed, training",
        "exp.yaml:6:5: `model`: `depth` must be at least the number of `widths`",
        "exp.yaml:7:16: unknown key 'training.lrr' (did you mean 'lr'?); known keys here: ",
    ]
    for stage in (None, "a", "b"):
        found = mistakes_of(path, stage=stage)
        assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_a_mistake_that_all_stages_share_is_said_once(folder):
    path = write(folder, "exp.yaml", "sed: 1\nstages: [{name: a}, {name: b}]\n")
    (mistake,) = mistakes_of(path)
    assert mistake.startswith("exp.yaml:1:1: unknown key 'sed' (did you mean 'seed'?)")


@pytest.mark.parametrize(
    "stages,mistake",
    [
        ("[{epochs: 3}]", "exp.yaml:1:10: `stages[0].name` must be given, but is missing"),
        ("[{name: a}, {name: a}]", "exp.yaml:1:22: the stage 'a' must be there once, but is there twice"),
        ("[{name: a, system: x}]", "exp.yaml:1:20: `system` must be the same in all stages, but 'a' has its own"),
        (
            "[{name: a, epochs: 1, training: {epochs: 2}}]",
            "exp.yaml:1:42: `training.epochs` must be given once in a stage, but 'a' has `epochs`, too",
        ),
        ("[3]", "exp.yaml:1:10: `stages[0]` must be a mapping of keys, but got 3"),
        ("3", "exp.yaml:1:1: `stages` must be a list, but got 3"),
    ],
)
def test_a_list_of_stages_that_cannot_be_is_refused(folder, stages, mistake):
    assert mistakes_of(write(folder, "exp.yaml", f"stages: {stages}\n")) == [mistake]


def test_a_stage_whose_name_cannot_be_a_folder_is_refused(folder):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", "stages: [{name: ../a}]\n"))
    assert mistake.startswith("exp.yaml:1:11: `stages[0].name` must ")


def test_a_checkpoint_is_a_layer_like_any_other():
    old = resolve(Example, [plain_layer({"model": {"name": "resnet", "depth": 34}}, "a")]).values
    words = parse_options(["--epochs", "99"], Example, aliases={})
    done = resolve(Example, [plain_layer(old, "checkpoint")], overrides=words)
    assert (done.values["training"]["epochs"], done.values["model"]) == (99, old["model"])
    assert (done.origins["model.depth"], done.origins["training.epochs"]) == ("checkpoint", "command line --epochs")


def test_mistakes_in_plain_values_name_their_source():
    with pytest.raises(ConfigError, match=r"^checkpoint: unknown key 'sed' \(did you mean 'seed'\?\)"):
        resolve(Example, [plain_layer({"sed": 1}, "checkpoint")])
