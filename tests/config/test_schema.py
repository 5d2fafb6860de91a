import pytest
from pydantic import Field, ValidationError

from holdfast.config import AdamW, Config, Cosine, Section, Sgd, Training, plain_layer, resolve
from tests.config.example import Bce, Example, Focal, Resnet, write


class Numbers(Section):
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    pair: tuple[float, float] = (0.0, 0.0)
    by_count: dict[int, int] = Field(default_factory=dict)


def test_a_schema_without_arguments_gives_the_defaults():
    config = Config()
    assert (config.seed, config.device, config.stages) == (1000, "auto", ())
    assert (config.training.lr, config.training.batch_size, config.training.epochs) == (1e-3, 32, 50)
    assert (config.run.root, config.run.name) == ("runs", None)
    assert (config.logging.tensorboard, config.logging.log_interval) == (True, 10)


def test_a_whole_number_is_a_number():
    assert Numbers.model_validate({"number": 3, "pair": [1, 2]}) == Numbers(number=3.0, pair=(1.0, 2.0))


@pytest.mark.parametrize(
    "values",
    [
        {"whole": True},
        {"whole": "3"},
        {"whole": 3.0},
        {"number": True},
        {"number": "3"},
        {"flag": 1},
        {"flag": "true"},
        {"pair": ["1", 2]},
        {"by_count": {"1": True}},
    ],
)
def test_nothing_is_converted_into_a_number_or_a_boolean(values):
    with pytest.raises(ValidationError):
        Numbers.model_validate(values)


def test_a_key_of_a_mapping_is_read_from_its_text():
    assert Numbers.model_validate({"by_count": {"1": 2}}).by_count == {1: 2}


def test_a_section_is_frozen_and_refuses_unknown_keys():
    with pytest.raises(ValidationError, match="frozen"):
        Numbers().whole = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Numbers.model_validate({"hole": 3})


def test_the_name_alone_stands_for_a_section_with_its_defaults():
    training = Training.model_validate({"optimizer": "adamw", "schedule": "cosine"})
    assert (training.optimizer, training.schedule) == (AdamW(), Cosine())
    assert Example.model_validate({"model": "resnet", "extra": "focal"}).extra == Focal()


def test_nothing_where_a_section_is_expected_is_an_empty_section_unless_it_may_be_absent():
    config = Example.model_validate({"training": None, "extra": None})
    assert (config.training, config.extra) == (Training(), None)


def test_sections_chosen_by_name_need_no_further_declaration():
    assert Example.model_validate({"loss": {"name": "focal", "gamma": 3}}).loss == Focal(gamma=3.0)
    assert Example.model_validate({"loss": {"name": "bce"}}).loss == Bce()


@pytest.mark.parametrize("interval", [5, "100 steps", "10 minutes", [1, "1 hour"]])
def test_a_save_interval_may_carry_its_unit(interval):
    assert Training.model_validate({"save_interval": interval}).model_dump(mode="json")["save_interval"] == interval


@pytest.mark.parametrize("interval", [0, "ten steps", [1, "1 parsec"], True, 1.5])
def test_what_is_no_save_interval_is_refused(interval):
    with pytest.raises(ValidationError):
        Training.model_validate({"save_interval": interval})


def test_nesterov_without_momentum_is_refused():
    assert Sgd(nesterov=True, momentum=0.9).nesterov
    with pytest.raises(ValidationError, match="must have a momentum above 0"):
        Sgd(nesterov=True)


def test_a_configuration_is_read_from_a_file_over_the_defaults_of_its_class(folder):
    path = write(folder, "exp.yaml", "model: {name: resnet, depth: 34}\ntraining: {lr: 1e-4}\n")
    config = Example.from_yaml(path)
    assert config.model == Resnet(depth=34)
    assert config.training == Training(lr=1e-4)


def test_infinity_and_not_a_number_stay_numbers_in_plain_values():
    done = resolve(Numbers, [plain_layer({"number": float("inf")}, "here")])
    assert done.values["number"] == float("inf")
    assert '"number":Infinity' in done.config.model_dump_json()
