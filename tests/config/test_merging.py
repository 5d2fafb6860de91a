from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.config import default_layer, flatten, plain_layer, resolve
from tests.config.example import Example, Focal, Resnet

training = st.fixed_dictionaries(
    {}, optional={"lr": st.floats(0.1, 1), "epochs": st.integers(1, 9), "milestones": st.lists(st.integers(1, 9))}
)
partial = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 9),
        "training": training,
        "model": st.sampled_from([{"name": "mlp", "hidden": 8}, {"name": "resnet", "depth": 50}, "mlp", "resnet"]),
    },
)


def values_of(*layers):
    return resolve(Example, [plain_layer(layer, f"layer {n}") for n, layer in enumerate(layers)]).values


@settings(max_examples=50, deadline=None)
@given(partial, partial)
def test_each_key_has_the_value_of_the_highest_layer_that_gives_it(low, high):
    merged = flatten(values_of(low, high))
    for layer in (low, high):
        written = flatten({key: value for key, value in layer.items() if key != "model"})
        for key, value in written.items():
            assert merged[key] == flatten(high).get(key, value)


@settings(max_examples=50, deadline=None)
@given(partial)
def test_a_layer_over_itself_and_an_empty_layer_change_nothing(layer):
    assert values_of(layer) == values_of(layer, layer) == values_of(layer, {}) == values_of({}, layer)


@settings(max_examples=50, deadline=None)
@given(partial, partial)
def test_the_resolved_values_resolve_to_themselves(low, high):
    values = values_of(low, high)
    assert values_of(values) == values


def test_another_name_replaces_the_whole_section():
    config = resolve(Example, [plain_layer({"loss": {"weight": 9.0}}, "a"), plain_layer({"loss": "focal"}, "b")]).config
    assert config.loss == Focal()


def test_the_same_name_keeps_what_lies_below():
    layers = [plain_layer({"model": {"name": "resnet", "depth": 34}}, "a"), plain_layer({"model": "resnet"}, "b")]
    assert resolve(Example, layers).config.model == Resnet(depth=34)


def test_a_run_that_gets_a_name_keeps_its_root():
    layers = [plain_layer({"run": {"root": "results"}}, "a"), plain_layer({"run": {"name": "mine"}}, "b")]
    assert resolve(Example, layers).values["run"] == {"root": "results", "name": "mine", "stages": None}


def test_plain_mappings_merge_and_lists_replace():
    layers = [
        plain_layer({"data": {"shift": {"x": 1.0, "y": 1.0}}, "training": {"milestones": [1, 2]}}, "a"),
        plain_layer({"data": {"shift": {"y": 2.0}}, "training": {"milestones": [3]}}, "b"),
    ]
    values = resolve(Example, layers).values
    assert values["data"]["shift"] == {"x": 1.0, "y": 2.0}
    assert values["training"]["milestones"] == [3]


def test_a_section_that_may_be_absent_comes_and_goes():
    there = plain_layer({"extra": {"name": "focal", "gamma": 3.0}}, "a")
    assert resolve(Example, [there]).config.extra == Focal(gamma=3.0)
    assert resolve(Example, [there, plain_layer({"extra": None}, "b")]).config.extra is None


def test_the_default_layer_has_every_key():
    assert default_layer(Example).values == resolve(Example, []).values
