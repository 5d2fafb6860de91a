"""Which weights of a file a model takes, and what stops it."""

import pytest
import torch
from torch import nn

from holdfast.engine.transfer import compare, refuse_not_finite, refuse_unusable, take, with_tied
from holdfast.errors import UserError


def network(classes=2, *, extra=False):
    parts = {"body": nn.Linear(3, 4), "norm": nn.BatchNorm1d(4), "head": nn.Linear(4, classes)}
    if extra:
        parts["width"] = nn.Linear(4, 1)
    return nn.ModuleDict(parts)


def refusal(model, weights, leave=()):
    ours = model.state_dict()
    with pytest.raises(UserError) as error:
        refuse_unusable("w.pth", ours, weights, compare(ours, weights, leave=leave), leave=leave)
    return str(error.value)


def test_everything_matches_between_equals_and_the_values_arrive():
    model, weights = network(), network().state_dict()
    transfer = compare(model.state_dict(), weights)
    take(model, weights, transfer, None)
    assert (len(transfer.matched), transfer.new, transfer.left, transfer.share) == (9, (), (), 1.0)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_what_only_the_model_has_is_new_and_keeps_the_values_of_its_seed():
    model, weights = network(extra=True), network().state_dict()
    before = model["width"].weight.detach().clone()
    transfer = compare(model.state_dict(), weights)
    take(model, weights, transfer, None)
    assert transfer.new == ("width.weight", "width.bias")
    assert torch.equal(model["width"].weight, before)
    assert transfer.share == pytest.approx(43 / 48)


def test_what_only_the_file_has_is_refused_by_name_with_the_option_that_leaves_it():
    message = refusal(network(), network(extra=True).state_dict())
    assert "width.weight is not in the model; width.bias is not in the model" in message
    assert message.endswith("add --leave 'width.*'.")


def test_another_shape_is_refused_with_both_shapes_and_the_option_that_leaves_it():
    message = refusal(network(2), network(5).state_dict())
    assert "head.weight is [5, 4] instead of [2, 4]; head.bias is [5] instead of [2]" in message
    assert "--leave 'head.*'" in message


def test_the_advice_never_leaves_what_fits():
    weights = network().state_dict()
    weights["head.weight"] = torch.zeros(2, 9)
    assert refusal(network(), weights).endswith("add --leave 'head.weight'.")


def test_what_is_to_be_left_stays_in_the_file_whether_it_fits_or_not():
    weights = network(5).state_dict()
    transfer = compare(network().state_dict(), weights, leave=["head.*", "norm.weight"])
    assert set(transfer.left) == {"head.weight", "head.bias", "norm.weight"}
    assert set(transfer.new) == set(transfer.left)
    assert transfer.unfit == {}


def test_a_tensor_with_two_names_may_have_one_of_them_in_the_file():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "out": nn.Linear(3, 5, bias=False)})
    model["out"].weight = model["embed"].weight
    for kept in ("embed.weight", "out.weight"):
        weights = with_tied(model.state_dict(), {kept: torch.ones(5, 3)})
        assert set(weights) == {"embed.weight", "out.weight"}
        take(model, weights, compare(model.state_dict(), weights), None)
        assert torch.equal(model["embed"].weight, torch.ones(5, 3))


def test_a_pattern_that_matches_nothing_is_a_mistake():
    message = refusal(network(), network().state_dict(), leave=["haed.*"])
    assert "`--leave` must match a name in w.pth, but 'haed.*' matches none; its names are body.weight" in message


def test_a_network_of_other_names_is_refused_with_names_of_both():
    message = refusal(network(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).state_dict())
    assert message == (
        "`w.pth` must have weights of this model, but none of its 4 names fits: it has 0.weight, 0.bias, 1.weight "
        "and 1 more; the model has body.weight, body.bias, norm.weight and 6 more."
    )


def test_a_counter_of_batches_alone_is_no_weight():
    weights = {"norm.num_batches_tracked": torch.tensor(3)}
    assert "must have weights of this model" in refusal(network(), weights)


def test_leaving_everything_is_refused():
    assert "must have weights of this model" in refusal(network(), network().state_dict(), leave=["*"])


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64])
def test_numbers_of_another_kind_are_refused(kind):
    weights = {**network().state_dict(), "head.bias": torch.ones(2, dtype=kind)}
    assert f"head.bias is {kind}".replace("torch.", "") in refusal(network(), weights)


def test_half_precision_is_taken_as_it_reads_in_full():
    model, weights = network(), {name: value.half() for name, value in network().state_dict().items()}
    weights["norm.num_batches_tracked"] = torch.tensor(7)
    take(model, weights, compare(model.state_dict(), weights), None)
    assert model["body"].weight.dtype == torch.float32
    assert torch.equal(model["body"].weight, weights["body.weight"].float())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    weights = network().state_dict()
    weights["head.bias"] = torch.full((2,), value)
    assert "must have weights that are finite, but got others in head.bias" in refusal(network(), weights)
    refuse_not_finite("w.pth", network().state_dict())


def test_a_person_gets_a_line_for_each_kind_and_never_a_screenful():
    ours = {f"layer{number}.weight": torch.zeros(1) for number in range(1000)}
    lines = compare(ours, {"layer0.weight": torch.ones(1)}).lines()
    assert lines[0] == "  matched  1 of 1000, 0.1 % of the model's values"
    assert lines[1].endswith("layer8.weight and 991 more")
    assert len(lines) == 2
