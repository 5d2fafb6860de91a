import pytest

from holdfast.config.document import read_document, read_value
from holdfast.errors import ConfigError


@pytest.mark.parametrize(
    "text,value",
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("-3", -3),
        ("012", 12),
        ("0o17", 15),
        (".inf", float("inf")),
        ("true", True),
        ("null", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'3'", "3"),
        ("[[1, 640], [20, 800]]", [[1, 640], [20, 800]]),
        ("{name: sgd}", {"name": "sgd"}),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    read = read_value(text)
    assert (read, type(read)) == (value, type(value))


def test_every_value_knows_the_line_and_column_of_its_key_or_itself():
    root = read_document("seed: 1\ntraining:\n  lr: 1\n  milestones: [5,\n    10]\n", "exp.yaml")
    places = {"/".join(map(str, path)): str(root.nearest(path).origin) for path in [("seed",), ("training", "lr")]}
    assert places == {"seed": "exp.yaml:1:1", "training/lr": "exp.yaml:3:3"}
    assert str(root.nearest(("training", "milestones", 1)).origin) == "exp.yaml:5:5"


def test_an_empty_document_is_an_empty_mapping():
    assert read_document("# nothing yet\n", "exp.yaml").plain() == {}
    assert read_document("---\n", "exp.yaml").plain() == {}


def test_merge_keys_bring_in_what_is_not_there():
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\n"
    assert read_document(text, "exp.yaml").plain()["c"] == {"x": 3, "y": 1, "z": 2}


def test_a_value_under_an_anchor_is_an_ordinary_value():
    plain = read_document("a: &flag true\nb: *flag\n", "exp.yaml").plain()
    assert plain == {"a": True, "b": True}
    assert type(plain["b"]) is bool


@pytest.mark.parametrize(
    "text,mistake",
    [
        (
            "a: 1\nb: [1, c: 2\n d",
            "exp.yaml:3:3: expected ',' or ']', but got '<stream end>' while parsing a flow sequence",
        ),
        ("a: 1\n---\nb: 2", "exp.yaml:2:1: but found another document expected a single document in the stream"),
        ("a: *b", "exp.yaml:1:4: found undefined alias 'b'"),
        ("- 1", "exp.yaml:1:1: a configuration must be a mapping (`key: value`), but got a list"),
        ("word", "exp.yaml:1:1: a configuration must be a mapping (`key: value`), but got 'word'"),
        ("1: x", "exp.yaml:1:1: a key must be a text, but got 1; put it into quotes"),
        ("a: !!int x", "exp.yaml:1:4: 'x' cannot be read as int"),
        ("a: !mine x", "exp.yaml:1:4: 'x' cannot be read as !mine"),
        ("a: {<<: 3}", "exp.yaml:1:9: `<<` must be followed by a mapping or a list of mappings"),
        ("a: &a\n  b: *a", "exp.yaml:2:3: an alias must not stand inside of what it repeats"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text, mistake):
    with pytest.raises(ConfigError) as caught:
        read_document(text, "exp.yaml")
    assert list(caught.value.mistakes) == [mistake]


def test_all_keys_that_stand_twice_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        read_document("lr: 1\nmodel: {a: 1, a: 2}\nlr: 2\n", "exp.yaml")
    assert list(caught.value.mistakes) == [
        "exp.yaml:2:15: the key 'a' stands here a second time; the first is in line 2",
        "exp.yaml:3:1: the key 'lr' stands here a second time; the first is in line 1",
    ]


def test_a_control_character_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="special characters are not allowed") as caught:
        read_document("a: \x01", "exp.yaml")
    assert "\n" not in str(caught.value)


def test_nesting_without_end_is_refused():
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_value("[" * 5000)
