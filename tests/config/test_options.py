import pytest

from holdfast.config import ConfigError, parse_options, resolve
from tests.config.example import Example, Focal, Resnet

ALIASES = {"h5": "data.path", "image-size": "data.img_size", "T": "model.hidden", "lr0": "training.lr"}


def values_of(*words):
    return parse_options(words, Example, aliases=ALIASES).values


def mistakes_of(*words, commands=()):
    with pytest.raises(ConfigError) as caught:
        parse_options(words, Example, aliases=ALIASES, commands=commands)
    return list(caught.value.mistakes)


def test_words_become_nested_values_that_know_their_option():
    words = ["--lr", "5e-4", "--training.epochs=3", "--no-tensorboard", "-b", "8", "--loss", "bce"]
    layer = parse_options(words, Example, aliases={})
    assert layer.values == {
        "training": {"lr": 5e-4, "epochs": 3, "batch_size": 8},
        "logging": {"tensorboard": False},
        "loss": {"name": "bce"},
    }
    assert {key: str(origin) for key, origin in layer.origins.items()} == {
        "training.lr": "command line --lr",
        "training.epochs": "command line --training.epochs",
        "training.batch_size": "command line -b",
        "logging.tensorboard": "command line --no-tensorboard",
        "loss.name": "command line --loss",
    }


@pytest.mark.parametrize(
    "words,values",
    [
        (["--data-path", "d"], {"data": {"path": "d"}}),
        (["--batch-size", "8"], {"training": {"batch_size": 8}}),
        (["--learning-rate", "1"], {"training": {"lr": 1}}),
        (["--epochs", "2"], {"training": {"epochs": 2}}),
        (["--steps", "2"], {"training": {"steps": 2}}),
        (["--seed", "2"], {"seed": 2}),
        (["--workers", "2"], {"data": {"num_workers": 2}}),
        (["-j", "2"], {"data": {"num_workers": 2}}),
        (["--num-workers", "2"], {"data": {"num_workers": 2}}),
        (["--output-dir", "d"], {"run": {"root": "d"}}),
        (["--save_dir", "d"], {"run": {"root": "d"}}),
        (["--exp-name", "n"], {"run": {"name": "n"}}),
        (["--name", "n"], {"run": {"name": "n"}}),
        (["--save-freq", "2"], {"training": {"save_interval": 2}}),
        (["--save-interval", "10 minutes"], {"training": {"save_interval": "10 minutes"}}),
        (["--print-freq", "2"], {"logging": {"log_interval": 2}}),
        (["-p", "2"], {"logging": {"log_interval": 2}}),
        (["--no-save-optimizer"], {"training": {"save_optimizer": False}}),
        (["--device", "cpu"], {"device": "cpu"}),
        (["--gpu", "0"], {"device": "cuda:0"}),
    ],
)
def test_some_names_are_known_everywhere(words, values):
    assert values_of(*words) == values


def test_a_system_names_its_own_keys_and_comes_first():
    assert values_of("--h5", "eyes.h5", "--image_size", "32", "--T", "4") == {
        "data": {"path": "eyes.h5", "img_size": 32},
        "model": {"hidden": 4},
    }
    assert parse_options(["--name", "a"], Example, aliases={"name": "model.name"}).values == {"model": {"name": "a"}}


def test_the_last_word_of_a_path_will_do_when_it_occurs_once():
    assert values_of("--momentum", "0.9", "--img-size", "3") == {
        "training": {"optimizer": {"momentum": 0.9}},
        "data": {"img_size": 3},
    }


def test_a_word_that_occurs_in_several_places_names_them():
    assert mistakes_of("--gamma", "3") == [
        "`--gamma` must name one key, but could be --loss.gamma or --training.schedule.gamma or --extra.gamma; "
        "write one of these"
    ]


def test_hyphens_and_underscores_are_the_same():
    assert values_of("--keep_last-n", "2") == values_of("--training.keep-last_n", "2")


@pytest.mark.parametrize(
    "words,value",
    [
        (["--tensorboard"], True),
        (["--no-tensorboard"], False),
        (["--tensorboard", "false"], False),
        (["--tensorboard=true"], True),
        (["--no-logging.tensorboard"], False),
    ],
)
def test_a_boolean_is_said_in_three_ways(words, value):
    assert values_of(*words, "--seed", "3") == {"logging": {"tensorboard": value}, "seed": 3}


@pytest.mark.parametrize(
    "text,value", [("-1", -1), ("-1.5", -1.5), ("-.5", -0.5), ("5e-4", 5e-4), ("null", None), ("-.inf", float("-inf"))]
)
def test_a_number_may_be_negative_and_is_read_as_in_a_file(text, value):
    assert values_of("--clip", text) == {"training": {"clip": value}}


def test_lists_and_mappings_are_one_word_of_yaml():
    assert values_of("--milestones", "[1, 2]", "--optimizer", "{name: sgd, momentum: 0.5}") == {
        "training": {"milestones": [1, 2], "optimizer": {"name": "sgd", "momentum": 0.5}}
    }


@pytest.mark.parametrize("text", ["42", "2024", "1e3", "true", "a: b", "[x", "", "a #b", "2024-01-01"])
def test_a_text_stays_as_it_was_typed(text):
    assert values_of("--name", text) == {"run": {"name": text}}


def test_null_takes_a_text_away():
    assert values_of("--data-path", "null") == {"data": {"path": None}}


@pytest.mark.parametrize(
    "words",
    [
        ["--loss", "focal", "--loss.gamma", "3"],
        ["--loss.gamma", "3", "--loss", "focal"],
        ["--loss.gamma=3", "--loss.name=focal"],
    ],
)
def test_a_name_and_its_keys_may_come_in_any_order(words):
    config = resolve(Example, [], overrides=parse_options(words, Example, aliases={})).config
    assert config.loss == Focal(gamma=3.0)


def test_a_name_on_the_command_line_switches_the_section():
    words = parse_options(["--model", "resnet", "--depth", "34"], Example, aliases={})
    assert resolve(Example, [], overrides=words).config.model == Resnet(depth=34)


def test_the_last_of_two_counts():
    assert values_of("--lr", "1", "--learning-rate", "2") == {"training": {"lr": 2}}


def test_all_mistakes_are_told_at_once():
    assert mistakes_of("--epohcs", "3", "stray", "--lr", "--seed", "1", "--no-lr", commands=["--resume"]) == [
        "unknown option `--epohcs` (did you mean `--epochs` or `--eps`?); `holdfast config` lists every key",
        "`stray` must be an option (--KEY VALUE), but stands by itself; write a value of several words in quotes",
        "`--lr` must be followed by a value, but got none; write --lr VALUE",
        "`--no-lr` must say no to a key that is true or false, but `training.lr` is not",
    ]


@pytest.mark.parametrize(
    "word,hint",
    [
        ("--resum", "`--resume`"),
        ("--momentun", "`--momentum`"),
        ("--h55", "`--h5`"),
        ("--training.lrr", "`--training.lr`"),
    ],
)
def test_an_unknown_option_names_the_nearest_also_among_the_commands_own(word, hint):
    (mistake,) = mistakes_of(word, "3", commands=["--resume", "--evaluate"])
    assert f"(did you mean {hint}" in mistake


@pytest.mark.parametrize(
    "words,mistake",
    [
        (["--gpu", "a"], "`--gpu` must be the number of a GPU, but got 'a'; write --gpu 0, or --device cpu"),
        (["--no-tensorboard=false"], "`--no-tensorboard` must stand alone, but got --no-tensorboard=false"),
        (["--milestones", "[1"], "`--milestones` must be a value as in YAML, but got '[1'; expected ',' or ']'"),
        (["--training"], "`--training` must be followed by a value, but got none; write --training VALUE"),
    ],
)
def test_a_value_that_cannot_be_is_refused(words, mistake):
    (found,) = mistakes_of(*words)
    assert found.startswith(mistake)
