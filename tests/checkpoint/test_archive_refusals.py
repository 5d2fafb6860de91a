"""What a checkpoint cannot hold is refused at saving, with its place and the way out."""

import argparse
import os
from collections import defaultdict
from enum import IntEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.errors import CheckpointError


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value, kind, advice",
    [
        (np.float64(0.5), "numpy.float64", "use float(...)"),
        (np.int32(5), "numpy.int32", "use int(...)"),
        (np.zeros(2), "numpy.ndarray", "use torch.from_numpy(...) or .tolist()"),
        ({1}, "set", "use sorted(...)"),
        (defaultdict(int), "collections.defaultdict", "use dict(...)"),
        (Path("x"), "pathlib.PosixPath", "use str(...)"),
        (argparse.Namespace(a=1), "argparse.Namespace", "use vars(...)"),
        (torch.Size([1]), "torch.Size", "use tuple(...)"),
        (torch.float32, "torch.dtype", "use str(...)"),
        (1j, "complex", "use torch.tensor(..., dtype=torch.complex128)"),
        (Colour.RED, f"{__name__}.Colour", "use int(...)"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear", "use its .state_dict()"),
        (Fraction(1, 2), "fractions.Fraction", "leave it out, or store the plain values it is made of"),
    ],
)
def test_a_value_that_is_not_plain_is_refused_with_its_place(value, kind, advice):
    with pytest.raises(CheckpointError) as caught:
        archive.plan({"metrics": {"acc": [1, value]}})
    assert str(caught.value) == (
        "`metrics.acc[1]` must be a plain value (dict, list, tuple, str, int, float, bool, None, bytes) or a tensor, "
        f"but got {kind}; {advice}."
    )


class Marked(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "tensor, message",
    [
        (torch.ones(2).as_subclass(Marked), f"a plain tensor, but got {__name__}.Marked"),
        (torch.ones(2).to_sparse(), "a dense tensor with values, but got a torch.sparse_coo tensor"),
        (torch.ones(2, device="meta"), "a dense tensor with values, but got a meta tensor"),
    ],
)
def test_a_tensor_that_is_not_dense_is_refused_with_its_place(tensor, message):
    with pytest.raises(CheckpointError, match=f"`model.weight` must be {message}"):
        archive.plan({"model": {"weight": tensor}})


@pytest.mark.parametrize("key", [1.5, None, True, ("a",), np.int64(1)])
def test_a_key_that_is_neither_string_nor_integer_is_refused(key):
    with pytest.raises(CheckpointError, match="A key of `model` must be a string or an integer, but got"):
        archive.plan({"model": {key: 1}})


def test_a_state_that_contains_itself_is_refused_with_the_place():
    state = {"config": {"parts": []}}
    state["config"]["parts"].append(state["config"])
    with pytest.raises(CheckpointError, match=r"`config.parts\[0\]` must not contain itself"):
        archive.plan(state)


def test_the_same_list_in_two_places_is_no_circle():
    shared = [1]
    archive.plan({"a": shared, "b": [shared, shared]})


def test_a_state_that_is_nested_too_deeply_is_refused():
    state = {}
    for _ in range(2000):
        state = {"a": state}
    with pytest.raises(CheckpointError, match="must not lie more than 100 levels deep"):
        archive.plan(state)


def test_an_integer_that_pytorch_could_not_read_is_refused():
    archive.plan({"x": (1 << 2039) - 1})
    with pytest.raises(CheckpointError, match=r"`x` must have fewer than 2040 bits"):
        archive.plan({"x": 1 << 2040})


def test_a_tensor_that_is_expanded_beyond_what_torch_can_count_is_refused():
    archive.plan({"x": torch.zeros(1).expand(1 << 60)})
    with pytest.raises(CheckpointError, match=r"`x` must have fewer than 2\^63 bytes, but got the shape"):
        archive.plan({"x": torch.zeros(1).expand(1 << 62)})


def test_nothing_is_written_when_a_value_is_refused(tmp_path):
    descriptor = os.open(tmp_path / "state.pth", os.O_RDWR | os.O_CREAT)
    with pytest.raises(CheckpointError):
        archive.write(descriptor, {"x": object()})
    assert os.fstat(descriptor).st_size == 0
    os.close(descriptor)
