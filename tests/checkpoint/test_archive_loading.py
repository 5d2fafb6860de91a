"""Loading straight into live tensors."""

import os

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.errors import CheckpointMismatch, DamagedCheckpoint


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        archive.write(descriptor, state)
    finally:
        os.close(descriptor)


def load_into(path, destination):
    with archive.checked(path) as found:
        return found.load(destination)


def test_live_tensors_are_filled_and_stand_in_the_state(tmp_path):
    save(tmp_path / "state.pth", {"model": {"weight": torch.arange(200_000.0)}, "epoch": 3})
    live = torch.zeros(200_000)
    state = load_into(tmp_path / "state.pth", {("model", "weight"): live}.get)
    assert state["model"]["weight"] is live
    assert torch.equal(live, torch.arange(200_000.0))
    assert state["epoch"] == 3


def test_a_parameter_of_a_model_is_filled_in_place(tmp_path):
    save(tmp_path / "state.pth", {"weight": torch.ones(3, 2)})
    model = torch.nn.Linear(2, 3)
    load_into(tmp_path / "state.pth", {("weight",): model.weight}.get)
    assert torch.equal(model.weight, torch.ones(3, 2))
    assert model.weight.requires_grad


def test_a_live_tensor_keeps_its_own_strides(tmp_path):
    stored = torch.arange(24.0).reshape(1, 2, 3, 4)
    save(tmp_path / "state.pth", {"x": stored})
    live = torch.zeros(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    load_into(tmp_path / "state.pth", {("x",): live}.get)
    assert torch.equal(live, stored)
    assert live.is_contiguous(memory_format=torch.channels_last)


def test_a_live_part_of_a_larger_tensor_leaves_the_rest_alone(tmp_path):
    save(tmp_path / "state.pth", {"x": torch.tensor([1.0, 2.0])})
    whole = torch.zeros(5)
    load_into(tmp_path / "state.pth", {("x",): whole[1:3]}.get)
    assert whole.tolist() == [0, 1, 2, 0, 0]


def test_tied_weights_fill_tied_and_untied_live_tensors(tmp_path):
    weight = torch.arange(4.0)
    save(tmp_path / "state.pth", {"a": weight, "b": weight, "c": weight, "d": weight[1:2]})
    tied, untied = torch.zeros(4), torch.zeros(4)
    state = load_into(tmp_path / "state.pth", {("a",): tied, ("b",): tied, ("c",): untied}.get)
    assert tied.tolist() == untied.tolist() == [0, 1, 2, 3]
    assert state["d"].tolist() == [1]


def test_a_tensor_of_another_shape_is_refused_before_any_live_one_is_touched(tmp_path):
    save(tmp_path / "state.pth", {"first": torch.ones(2), "second": torch.ones(3)})
    live = torch.zeros(2)
    with pytest.raises(CheckpointMismatch, match=r"`second` must have .* \(3,\) torch.float32, but got \(4,\)"):
        load_into(tmp_path / "state.pth", {("first",): live, ("second",): torch.zeros(4)}.get)
    assert live.tolist() == [0, 0]


def test_a_damaged_file_leaves_live_tensors_as_they_were(tmp_path):
    save(tmp_path / "state.pth", {"first": torch.ones(2000), "second": torch.ones(2000)})
    with open(tmp_path / "state.pth", "r+b") as file:
        file.seek(archive.plan({"first": torch.ones(2000), "second": torch.ones(2000)}).layout.records[4].start)
        file.write(b"?")
    live = torch.zeros(2000)
    with pytest.raises(DamagedCheckpoint, match=r"`holdfast/data/1` \(tensor `second`\)"):
        load_into(tmp_path / "state.pth", {("first",): live}.get)
    assert live.sum() == 0


def test_live_tensors_that_are_one_where_those_in_the_file_are_two_end_as_the_last_of_them(tmp_path):
    first, last = torch.arange(3_000_000.0), torch.arange(3_000_000.0) + 1
    save(tmp_path / "state.pth", {"a": first, "b": last})
    tied = torch.zeros(3_000_000)
    load_into(tmp_path / "state.pth", {("a",): tied, ("b",): tied}.get)
    assert torch.equal(tied, last)


def test_the_outline_has_shapes_and_types_and_touches_nothing(tmp_path):
    save(tmp_path / "state.pth", {"x": torch.ones(2, 3).t(), "epoch": 3})
    with archive.checked(tmp_path / "state.pth") as found:
        outline = found.outline()
    assert outline["epoch"] == 3
    assert outline["x"].is_meta
    assert (outline["x"].shape, outline["x"].stride(), outline["x"].dtype) == ((3, 2), (1, 3), torch.float32)


@pytest.mark.parametrize("place", [0, 700_000, 2_399_999])
def test_a_file_that_changes_between_check_and_use_is_named(tmp_path, place):
    state = {"x": torch.arange(300_000.0, dtype=torch.float64)}
    save(tmp_path / "state.pth", state)
    start = archive.plan(state).layout.records[3].start
    with archive.checked(tmp_path / "state.pth") as found:
        with open(tmp_path / "state.pth", "r+b") as file:
            file.seek(start + place)
            file.write(b"?")
        with pytest.raises(DamagedCheckpoint, match="changed while they were read"):
            found.load(lambda path: None)
