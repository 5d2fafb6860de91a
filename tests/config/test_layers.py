from pathlib import Path

import pytest

from holdfast.config import ConfigError, load_layer, plain_layer, resolve
from tests.config.example import Example, Resnet, write


def mistake_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_layer(path)
    (mistake,) = caught.value.mistakes
    return mistake


def test_a_file_lies_over_what_it_extends_along_a_chain(folder):
    (folder / "sub").mkdir()
    write(folder, "root.yaml", "seed: 1\ntraining: {lr: 1, epochs: 1, milestones: [1, 2]}\n")
    write(folder, "sub/base.yaml", "extends: ../root.yaml\ntraining: {lr: 2}\n")
    layer = load_layer(write(folder, "exp.yaml", "extends: sub/base.yaml\ntraining: {milestones: [3]}\n"))
    assert layer.values == {"seed": 1, "training": {"lr": 2, "epochs": 1, "milestones": [3]}}
    assert {key: str(origin) for key, origin in layer.origins.items()} == {
        "seed": "root.yaml:1:1",
        "training.lr": "sub/base.yaml:2:12",
        "training.epochs": "root.yaml:2:19",
        "training.milestones": "exp.yaml:2:12",
    }


def test_a_child_that_chooses_another_network_drops_what_its_base_said_of_the_default_one(folder):
    write(folder, "base.yaml", "model: {hidden: 64}\n")
    child = write(folder, "exp.yaml", "extends: base.yaml\nmodel: {name: resnet, depth: 34}\n")
    assert resolve(Example, [load_layer(child)]).config.model == Resnet(depth=34)


def test_a_path_is_shown_as_seen_from_here_when_it_lies_below_and_else_as_given(folder, monkeypatch):
    path = write(folder, "exp.yaml", "seed: 1\n")
    assert str(load_layer(path).origins["seed"]) == "exp.yaml:1:1"
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert str(load_layer(Path("../exp.yaml")).origins["seed"]) == "../exp.yaml:1:1"
    assert str(load_layer(path).origins["seed"]) == f"{path}:1:1"


def test_a_label_stands_for_the_path_of_a_preset(folder):
    path = write(folder, "tiny.yaml", "seed: 1\n")
    assert str(load_layer(path, label="preset tiny").origins["seed"]) == "preset tiny:1:1"


def test_a_missing_file_is_named(folder):
    assert mistake_of(Path("exp.yaml")) == "exp.yaml: there is no such file"


def test_a_missing_base_is_named_with_the_chain(folder):
    write(folder, "base.yaml", "seed: 1\nextends: gone.yaml\n")
    path = write(folder, "exp.yaml", "extends: base.yaml\n")
    assert mistake_of(path) == (
        "base.yaml:2:1: `extends` must name a file that exists, but got exp.yaml -> base.yaml -> gone.yaml"
    )


def test_a_circle_is_named_with_the_chain(folder):
    write(folder, "base.yaml", "extends: exp.yaml\n")
    path = write(folder, "exp.yaml", "extends: base.yaml\n")
    assert (
        mistake_of(path) == "base.yaml:1:1: `extends` must not be circular, but got exp.yaml -> base.yaml -> exp.yaml"
    )


def test_extends_must_be_one_file_name(folder):
    path = write(folder, "exp.yaml", "extends: [a.yaml, b.yaml]\n")
    assert mistake_of(path) == "exp.yaml:1:1: `extends` must be the name of one file, but got ['a.yaml', 'b.yaml']"


def test_a_folder_cannot_be_read_as_a_file(folder):
    assert mistake_of(folder).endswith("cannot be read: Is a directory")


def test_a_file_that_is_not_utf_8_is_refused_and_a_byte_order_mark_is_fine(folder):
    (folder / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    assert mistake_of(Path("latin.yaml")) == "latin.yaml: must be UTF-8 text, but byte 6 is not; save it as UTF-8"
    (folder / "mark.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert load_layer(Path("mark.yaml")).values == {"seed": 3}


def test_plain_values_have_one_origin_and_their_paths_become_text(folder):
    layer = plain_layer({"data": {"path": Path("eyes.h5")}, "training": {"milestones": (1, 2)}}, "checkpoint")
    assert layer.values == {"data": {"path": "eyes.h5"}, "training": {"milestones": [1, 2]}}
    assert str(layer.origins["data.path"]) == "checkpoint"
