"""Plain values of many megabytes are written piece by piece, and read as any other."""

import os

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.writing import write_plan
from holdfast.errors import CheckpointError

EVERY_BYTE = bytes(range(256))
LETTERS = "aä\u03b1\U0001f600\ud800"
"""Of one to four bytes, and half of a pair that stands for itself."""


@pytest.fixture
def descriptor(tmp_path):
    opened = os.open(tmp_path / "state.pth", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("length", [1 << 16, (1 << 16) + 1, 3_000_000])
def test_long_texts_and_bytes_come_back_and_torch_reads_the_same(length, descriptor, tmp_path):
    text = (LETTERS * (length // len(LETTERS) + 1))[:length]
    state = {"text": text, "bytes": (EVERY_BYTE * (length // 256 + 1))[:length], text: 1}
    report = archive.write(descriptor, state)
    assert report.size == (tmp_path / "state.pth").stat().st_size
    assert archive.read(tmp_path / "state.pth") == state
    assert torch.load(tmp_path / "state.pth", weights_only=True) == state


def test_very_many_values_come_back_and_torch_reads_the_same(descriptor, tmp_path):
    state = {"losses": [n / 7 for n in range(600_000)], "x": torch.arange(5)}
    archive.write(descriptor, state)
    for found in (archive.read(tmp_path / "state.pth"), torch.load(tmp_path / "state.pth", weights_only=True)):
        assert found["losses"] == state["losses"]
        assert found["x"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("change", [lambda losses: losses.append(0.0), lambda losses: losses.pop()])
def test_very_many_values_that_change_while_they_are_saved_are_refused(change, descriptor):
    losses = [n / 7 for n in range(600_000)]
    planned = archive.plan({"losses": losses})
    change(losses)
    with pytest.raises(CheckpointError, match="`state` must not change while it is saved, but 54000"):
        write_plan(descriptor, planned)


def test_few_values_are_saved_as_they_were_when_they_were_planned(descriptor, tmp_path):
    losses = [0.5]
    planned = archive.plan({"losses": losses})
    losses.append(1.0)
    write_plan(descriptor, planned)
    assert archive.read(tmp_path / "state.pth") == {"losses": [0.5]}
