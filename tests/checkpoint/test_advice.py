"""What the refusal of a value advises works when it is typed."""

import argparse
import array
import datetime
import os
import random
import re
from collections import ChainMap, defaultdict, deque
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.errors import CheckpointError

ADVICE = re.compile(r"; use (?:its )?(.*)\.$")


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Mode(StrEnum):
    FAST = "fast"


class Named(str, Enum):  # noqa: UP042 - as older programs have it
    ONE = "one"


class Marked(torch.Tensor):
    pass


def frozen(values):
    values = np.array(values)
    values.flags.writeable = False
    return values


def mapped(folder, mode):
    np.arange(3.0).tofile(folder / "file")
    return np.memmap(folder / "file", dtype=float, mode=mode)


def saved_and_read(value, folder):
    descriptor = os.open(folder / "state.pth", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    archive.write(descriptor, {"x": value})
    os.close(descriptor)
    found = archive.read(folder / "state.pth")["x"]
    return found.tolist() if isinstance(found, torch.Tensor) else found


def advised(value):
    """Gives what each way gives that the refusal of a value names, typed as it says."""
    with pytest.raises(CheckpointError) as caught:
        archive.plan({"x": value})
    ways = ADVICE.search(str(caught.value))[1].split(" or ")
    typed = [way.replace("...", "value") if "..." in way else f"value{way}" for way in ways]
    return [eval(line, {"np": np, "torch": torch, "value": value}) for line in typed]


NUMPY = {
    "a truth value": (np.bool_(True), True),
    "an integer": (np.uint64(2**64 - 1), 2**64 - 1),
    "a half": (np.float16(0.5), 0.5),
    "a long double": (np.longdouble(0.5), 0.5),
    "complex64": (np.complex64(1 + 2j), 1 + 2j),
    "complex128": (np.complex128(0.1 + 2j), 0.1 + 2j),
    "bytes": (np.bytes_(b"ab"), b"ab"),
    "text": (np.str_("ab"), "ab"),
    "a date": (np.datetime64("2026-11-01"), "2026-11-01"),
    "a span": (np.timedelta64(3, "D"), "3 days"),
    "an array": (np.arange(3.0), [0, 1, 2]),
    "an array of no dimension": (np.array(1.5), 1.5),
    "a matrix": (np.arange(2.0).reshape(1, 2).view(np.matrix), [[0, 1]]),
    "a masked array": (np.ma.array([1.0, 2.0], mask=[False, True]), [1.0, None]),
    "the masked value": (np.ma.masked, None),
    "a read-only array": (frozen([1.0, 2.0]), [1, 2]),
    "a reversed array": (np.arange(3)[::-1], [2, 1, 0]),
    "a column of a table": (np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")])["b"], [2.0]),
    "an array of the other byte order": (np.array([1, 2], dtype=">i4"), [1, 2]),
    "long doubles": (np.array([0.5], dtype=np.longdouble), [0.5]),
    "long complex numbers": (np.array([1j], dtype=np.clongdouble), [1j]),
    "complex numbers of the other byte order": (np.array([1j], dtype=">c8"), [1j]),
    "reversed complex numbers": (np.array([1j, 2j])[::-1], [2j, 1j]),
    "an array of texts": (np.array(["a", "b"]), ["a", "b"]),
    "an array of bytes": (np.array([b"a"]), [b"a"]),
    "an array of dates": (np.array(["2026-11-01", "NaT"], dtype="M8[D]"), ["2026-11-01", "NaT"]),
}

OTHERS = {
    "complex": (0.1 + 2j, 0.1 + 2j),
    "a set": ({2, 1}, [1, 2]),
    "a frozen set": (frozenset({2, 1}), [1, 2]),
    "a deque": (deque([1, 2]), [1, 2]),
    "a range": (range(2), [0, 1]),
    "keys": ({"a": 1}.keys(), ["a"]),
    "a defaultdict": (defaultdict(int, a=1), {"a": 1}),
    "a chain of maps": (ChainMap({"a": 1}), {"a": 1}),
    "a read-only dict": (MappingProxyType({"a": 1}), {"a": 1}),
    "a bytearray": (bytearray(b"ab"), b"ab"),
    "a view of bytes": (memoryview(b"ab"), b"ab"),
    "an array of Python": (array.array("i", [1, 2]), [1, 2]),
    "a namespace": (argparse.Namespace(a=1), {"a": 1}),
    "a simple namespace": (SimpleNamespace(a=1), {"a": 1}),
    "a path": (Path("a"), "a"),
    "an enum": (Colour.RED, "red"),
    "an enum of integers": (Size.LARGE, 3),
    "an enum of strings": (Mode.FAST, "fast"),
    "an enum beside str": (Named.ONE, "one"),
    "a date": (datetime.date(2026, 11, 1), "2026-11-01"),
    "a moment": (datetime.datetime(2026, 11, 1, 12), "2026-11-01T12:00:00"),
    "a span": (datetime.timedelta(seconds=90), 90.0),
    "a size": (torch.Size([2, 3]), (2, 3)),
    "a type": (torch.float16, "torch.float16"),
    "a device": (torch.device("cpu"), "cpu"),
    "a tensor of a class of its own": (torch.ones(2).as_subclass(Marked), [1, 1]),
    "a version": (torch.__version__, str(torch.__version__)),
}


@pytest.mark.parametrize("value, expected", NUMPY.values(), ids=NUMPY.keys())
def test_what_is_advised_for_a_value_of_numpy_works_when_typed(value, expected, tmp_path):
    assert [saved_and_read(way, tmp_path) for way in advised(value)] in ([expected], [expected, expected])


@pytest.mark.parametrize("value, expected", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_advised_for_any_other_value_works_when_typed(value, expected, tmp_path):
    assert [saved_and_read(way, tmp_path) for way in advised(value)] == [expected]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_what_is_advised_for_a_mapped_file_works_when_typed(mode, tmp_path):
    assert [saved_and_read(way, tmp_path) for way in advised(mapped(tmp_path, mode))] == 2 * [[0, 1, 2]]


def test_a_set_that_has_no_order_becomes_a_list():
    assert [sorted(map(str, way)) for way in advised({1, "a"})] == [["1", "a"]]


@pytest.mark.parametrize(
    "generator, draw",
    [
        (torch.Generator().manual_seed(1), lambda one: torch.rand((), generator=one)),
        (np.random.default_rng(1), lambda one: one.random()),
        (random.Random(1), lambda one: one.random()),
    ],
    ids=["torch", "numpy", "python"],
)
def test_the_state_of_a_generator_can_be_saved_in_the_advised_way(generator, draw, tmp_path):
    (state,) = advised(generator)
    draw(generator)
    saved_and_read(state, tmp_path)


@pytest.mark.parametrize(
    "value",
    [object(), object, np.float32, torch.nn.Linear, np.array([object()]), np.ma.array([1j], mask=[True])],
    ids=["an object", "a class", "a type of number", "a module's class", "an array of objects", "masked complex"],
)
def test_what_has_no_short_way_is_called_so(value):
    with pytest.raises(CheckpointError, match=r"; leave it out, or store the plain values it is made of\.$"):
        archive.plan({"x": value})


@pytest.mark.parametrize("state", [{1 << 2040: 1}, {"x": {-(1 << 2040): 1}}], ids=["top", "below"])
def test_an_integer_that_pytorch_could_not_read_is_refused_as_a_key_too(state):
    with pytest.raises(CheckpointError, match=r"A key of `\w+` must have fewer than 2040 bits, but got an integer of"):
        archive.plan(state)


@pytest.mark.parametrize("text", ["x" * 10, b"x" * 10], ids=["text", "bytes"])
def test_a_text_that_pytorch_could_not_read_is_refused_before_anything_is_written(text, monkeypatch):
    monkeypatch.setattr("holdfast.checkpoint.plain.LONGEST_TEXT", 10)
    archive.plan({"x": text[1:]})
    with pytest.raises(CheckpointError, match="`x` must be shorter than 10, but got 10 characters or bytes; use a"):
        archive.plan({"x": text})
