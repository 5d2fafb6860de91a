import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.config import flatten, json_schema, load_layer, resolve, to_yaml
from holdfast.config.document import read_document
from tests.config.example import Example, write

AWKWARD = [
    "1e-3",
    "on",
    "yes",
    "null",
    "~",
    "2024-01-01",
    "1:30",
    "<<",
    "=",
    "012",
    "a: b",
    "- x",
    "#",
    "two\nlines",
    "\n",
    "end \n",
    "\t",
    "\x85",
    "\u2028",
    "\ufeff",
    "é",
    "😀",
    "\x00",
    "!x",
    "&a",
    "*a",
    "%",
    "'",
    '"',
    "",
    " ",
    "---",
    "\r\n",
]
texts = st.text(max_size=8) | st.sampled_from(AWKWARD)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(texts, trees, max_size=3))
@example({"a": float("inf"), "b": float("-inf"), "c": float("nan"), "d": "1e-3", "e": 1e-3, "f": "on", "g": "x\ny\n"})
def test_what_is_written_reads_back_value_for_value_in_the_same_order(values):
    assert same(read_document(to_yaml(values), "out.yaml").plain(), values)


def test_a_configuration_is_written_in_block_style_with_readable_numbers():
    values = {"training": {"lr": 1e-3, "eps": 1e-8, "milestones": [1, 2]}, "stages": [], "name": "1e-3"}
    assert to_yaml(values) == (
        "training:\n  lr: 0.001\n  eps: 1e-08\n  milestones:\n    - 1\n    - 2\nstages: []\nname: '1e-3'\n"
    )


def test_the_resolved_configuration_resolves_to_itself_from_a_file(folder):
    path = write(folder, "exp.yaml", "model: resnet\nstages: [{name: a, epochs: 2, training: {lr: 1e-5}}]\n")
    done = resolve(Example, [load_layer(path)])
    (folder / "config.yaml").write_text(to_yaml(done.values))
    again = resolve(Example, [load_layer(folder / "config.yaml")])
    assert (again.values, again.config) == (done.values, done.config)


def test_flatten_gives_dotted_keys_and_keeps_lists_whole():
    assert flatten({"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": {}, "g": None}) == {
        "a.b.c": 1,
        "a.d": [1, {"e": 2}],
        "g": None,
    }


def parts_of(document):
    yield document
    for part in document.values() if isinstance(document, dict) else document:
        if isinstance(part, dict | list):
            yield from parts_of(part)


def test_the_json_schema_requires_nothing_and_refuses_unknown_keys():
    parts = [part for part in parts_of(json_schema(Example)) if isinstance(part, dict)]
    objects = [part for part in parts if "properties" in part]
    assert not [part for part in parts if isinstance(part.get("required"), list)]
    assert len(objects) > 10
    assert all(part["additionalProperties"] is False for part in objects)


def test_the_json_schema_knows_extends_names_and_the_keys_of_a_stage():
    schema = json_schema(Example)
    assert schema["properties"]["extends"]["type"] == "string"
    assert schema["properties"]["loss"]["anyOf"] == [
        {"enum": ["bce", "focal"]},
        {"$ref": "#/$defs/Bce"},
        {"$ref": "#/$defs/Focal"},
    ]
    stage = schema["$defs"]["Stage"]["properties"]
    assert stage.keys() >= {"name", "init_from", "epochs", "model", "training"}
    assert not stage.keys() & {"stages", "system", "extends"}
    assert json.loads(json.dumps(schema)) == schema


def test_the_json_schema_carries_the_help_of_each_key():
    training = json_schema(Example)["$defs"]["Training"]["properties"]
    assert training["lr"]["description"] == "The learning rate."


@pytest.mark.parametrize("key", ["loss", "extra"])
def test_a_choice_by_name_has_no_branch_that_excludes_the_others(key):
    assert "oneOf" not in json.dumps(json_schema(Example)["properties"][key])
