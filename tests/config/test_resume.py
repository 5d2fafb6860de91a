import pytest

from holdfast.config import Change, ConfigError, changes, parse_options, plain_layer, refuse_changes, resolve
from tests.config.example import Example


def pair(*words):
    old = resolve(Example, [])
    new = resolve(Example, [plain_layer(old.values, "checkpoint")], overrides=parse_options(words, Example, aliases={}))
    return old.values, new.values


@pytest.mark.parametrize(
    "words",
    [
        ["--epochs", "99"],
        ["--steps", "99"],
        ["--lr", "1"],
        ["--schedule", "cosine"],
        ["--warmup", "3"],
        ["--weight-decay", "0.5"],
        ["--save-interval", "3"],
        ["--no-save-optimizer"],
        ["--keep-last-n", "5"],
        ["--keep-best-k", "2"],
        ["--keep-every", "10"],
        ["--milestones", "[3]"],
        ["--eval-interval", "2"],
        ["--monitor", "val/f1"],
        ["--mode", "max"],
        ["--output-dir", "d"],
        ["--name", "n"],
        ["--no-tensorboard"],
        ["--workers", "3"],
        ["--data-path", "d"],
        ["--device", "cpu"],
        ["--stages", "[{name: a}]"],
    ],
)
def test_length_rates_saving_logging_and_places_may_change(words):
    found = changes(*pair(*words))
    assert found.allowed
    assert not found.refused


@pytest.mark.parametrize(
    "words,key",
    [
        (["--seed", "3"], "seed"),
        (["--batch-size", "8"], "training.batch_size"),
        (["--accumulation", "2"], "training.accumulation"),
        (["--clip", "1"], "training.clip"),
        (["--optimizer", "sgd"], "training.optimizer.name"),
        (["--betas", "[0.5, 0.5]"], "training.optimizer.betas"),
        (["--hidden", "8"], "model.hidden"),
        (["--loss", "focal"], "loss.name"),
        (["--img-size", "8"], "data.img_size"),
        (["--system", "glint"], "system"),
    ],
)
def test_what_decides_the_meaning_of_the_weights_may_not_change(words, key):
    assert key in [change.key for change in changes(*pair(*words)).refused]


def test_allowed_changes_are_given_with_both_values():
    assert refuse_changes(*pair("--epochs", "99", "--schedule", "cosine")) == [
        Change("training.epochs", 50, 99),
        Change("training.schedule.name", "constant", "cosine"),
        Change("training.schedule.final", None, 0.0),
        Change("training.schedule.each", None, "step"),
    ]


def test_refused_changes_are_all_named_with_both_values():
    with pytest.raises(ConfigError) as caught:
        refuse_changes(*pair("--epochs", "99", "--seed", "3", "--hidden", "8"))
    assert list(caught.value.mistakes) == [
        "`seed` must stay 1000 in this run, but got 3; start a new run for that",
        "`model.hidden` must stay 32 in this run, but got 8; start a new run for that",
    ]


def test_equal_configurations_have_no_changes_not_even_where_a_value_is_not_a_number():
    values = {"loss": {"weight": float("nan"), "scale": 1}, "model": {}}
    assert changes(values, {"loss": {"weight": float("nan"), "scale": 1.0}, "model": {}}) == changes({}, {})


def test_a_number_is_not_a_boolean():
    assert changes({"model": {"skip": True}}, {"model": {"skip": 1}}).refused == [Change("model.skip", True, 1)]
