import re

import pytest

from tests.config.example import mistakes_of, resolved, write

REFERENCE = """\
seed: 7
device: cpu
model:
  name: resnet
  depth: 34
  widths: [64, 128, 256]
data:
  path: eyes.h5
  num_workers: 2
  img_size: 32
loss:
  name: focal
  gamma: 3.0
  alpha: 0.5
training:
  lr: 1e-4
  batch_size: 16
  epochs: 9
  weight_decay: 1e-4
  optimizer:
    name: sgd
    momentum: 0.9
    nesterov: true
  schedule:
    name: cosine
    final: 0.1
  warmup: 2
  clip: 1.0
  accumulation: 4
  save_interval: 5
  milestones: [3]
  monitor: val/f1
  mode: max
run:
  root: results
  name: first
logging:
  tensorboard: false
  log_interval: 3
"""
LINES = REFERENCE.splitlines()
KEYS = [(number, re.match(r" *(\w+):", line)[1]) for number, line in enumerate(LINES)]  # type: ignore[index]
LEAVES = [(number, key) for number, key in KEYS if not LINES[number].endswith(":")]
CHOOSING = {"name"}


def column_of(number: int) -> int:
    return len(LINES[number]) - len(LINES[number].lstrip()) + 1


def replaced(number: int, *lines: str) -> str:
    return "\n".join([*LINES[:number], *lines, *LINES[number + 1 :]]) + "\n"


def test_the_reference_is_right(folder):
    assert resolved(write(folder, "exp.yaml", REFERENCE)).config.training.lr == 1e-4


@pytest.mark.parametrize("number,key", KEYS)
def test_a_misspelled_key_is_caught_with_its_place_and_the_key_that_was_meant(folder, number, key):
    wrong = key[:-2] + key[-1] + key[-2] if key[-1] != key[-2] else key + "x"
    text = replaced(number, LINES[number].replace(key + ":", wrong + ":", 1))
    mistakes = mistakes_of(write(folder, "exp.yaml", text))
    place = f"exp.yaml:{number + 1}:{column_of(number)}: unknown key "
    (mistake,) = [line for line in mistakes if line.startswith(place)]
    assert re.search(rf"did you mean .*\b{key}'", mistake)


@pytest.mark.parametrize("number,key", LEAVES)
def test_a_key_that_stands_twice_is_caught_with_both_lines(folder, number, key):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", replaced(number, LINES[number], LINES[number])))
    assert mistake == (
        f"exp.yaml:{number + 2}:{column_of(number)}: the key '{key}' stands here a second time; "
        f"the first is in line {number + 1}"
    )


@pytest.mark.parametrize("number,key", [leaf for leaf in LEAVES if leaf[1] not in CHOOSING | {"momentum"}])
def test_a_key_that_is_dropped_has_its_default_and_says_so(folder, number, key):
    whole = resolved(write(folder, "exp.yaml", REFERENCE)).origins
    rest = resolved(write(folder, "exp.yaml", replaced(number))).origins
    fell_back = [path for path in whole if rest[path] == "default" and whole[path] != "default"]
    assert [path.rpartition(".")[2] for path in fell_back] == [key]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(folder):
    path = write(
        folder,
        "exp.yaml",
        """\
        seed: true
        loss:
          name: fokal
        training:
          lr: fast
          batch_size: -4
          mode: mix
          save_interval: often
          milestones: [1, x]
        run:
          name: 42
        """,
    )
    assert mistakes_of(path) == [
        "exp.yaml:1:1: `seed` must be a whole number, but got true",
        "exp.yaml:3:3: `loss.name` must be one of bce, focal, but got 'fokal' (did you mean 'focal'?)",
        "exp.yaml:5:3: `training.lr` must be a number, but got 'fast'",
        "exp.yaml:6:3: `training.batch_size` must be greater than 0, but got -4",
        "exp.yaml:7:3: `training.mode` must be one of min, max, but got 'mix' (did you mean 'min'?)",
        "exp.yaml:8:3: `training.save_interval` must be a number, '100 steps', '2 epochs' or '10 minutes', "
        "but got 'often'",
        "exp.yaml:9:19: `training.milestones[1]` must be a whole number, but got 'x'",
        "exp.yaml:11:3: `run.name` must be a text, but got 42; put it into quotes",
    ]


@pytest.mark.parametrize(
    "text,mistake",
    [
        ("training: 3", "exp.yaml:1:1: `training` must be a mapping of keys, but got 3"),
        ("loss: 3", "exp.yaml:1:1: `loss` must be one of bce, focal, or a mapping, but got 3"),
        ("loss: {name: 3}", "exp.yaml:1:8: `loss.name` must be one of bce, focal, but got 3"),
        ("extra: {gamma: 3}", "exp.yaml:1:1: `extra.name` must be one of focal, bce, but is missing"),
        (
            "training: {save_interval: 2.5}",
            "exp.yaml:1:12: `training.save_interval` must be a whole number or a text or a list, but got 2.5",
        ),
        ("data: {shift: {x: fast}}", "exp.yaml:1:16: `data.shift.x` must be a number, but got 'fast'"),
        ("data: {path: [a]}", "exp.yaml:1:8: `data.path` must be a text, but got ['a']"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_what_was_expected(folder, text, mistake):
    assert mistakes_of(write(folder, "exp.yaml", text)) == [mistake]


def test_under_a_name_only_the_keys_of_that_section_are_known(folder):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", "model: {name: resnet, dept: 3}"))
    assert (
        mistake
        == "exp.yaml:1:23: unknown key 'model.dept' (did you mean 'depth'?); known keys here: depth, name, widths"
    )


def test_a_key_of_another_section_of_the_same_choice_says_whose_it_is(folder):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", "model: {name: resnet, hidden: 3}"))
    assert mistake == (
        "exp.yaml:1:23: unknown key 'model.hidden'; it belongs to mlp, but the name here is resnet; "
        "known keys here: depth, name, widths"
    )


def test_a_key_that_exists_elsewhere_says_where(folder):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", "model: {lr: 3}"))
    assert (
        mistake == "exp.yaml:1:9: unknown key 'model.lr' (did you mean 'training.lr'?); known keys here: hidden, name"
    )


@pytest.mark.parametrize(
    "text,mistake",
    [
        (
            "training:\n  optimizer: {name: sgd, nesterov: true}",
            "exp.yaml:2:3: `training.optimizer`: `nesterov: true` must have a momentum above 0, but got 0; "
            "set `momentum`, for example 0.9",
        ),
        (
            "training: {batch_size: 8, accumulation: 3}",
            "exp.yaml:1:1: `training`: `batch_size` must be a multiple of `accumulation`, but got 8 and 3; "
            "change one of them",
        ),
    ],
)
def test_an_impossible_pair_is_named_with_the_place_of_its_section(folder, text, mistake):
    assert mistakes_of(write(folder, "exp.yaml", text)) == [mistake]


def test_a_mistake_on_the_command_line_names_the_option(folder):
    path = write(folder, "exp.yaml", "seed: 1\n")
    assert mistakes_of(path, "--lr", "fast") == ["command line --lr: `training.lr` must be a number, but got 'fast'"]


def test_a_long_value_is_shortened(folder):
    (mistake,) = mistakes_of(write(folder, "exp.yaml", f"seed: {'x' * 200}\n"))
    assert len(mistake) < 130
