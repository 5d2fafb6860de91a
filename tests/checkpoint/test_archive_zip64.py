"""Files beyond 4 GB, where zip needs its longer forms."""

import mmap
import os
import subprocess
import zipfile

import pytest
import torch

from holdfast.checkpoint import archive, layout
from holdfast.errors import DamagedCheckpoint


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        return archive.write(descriptor, state)
    finally:
        os.close(descriptor)


STATE = {"a": torch.arange(300), "b": torch.arange(50), "c": torch.arange(5000)}


@pytest.fixture
def low_limit(monkeypatch):
    monkeypatch.setattr(layout, "ZIP64_FROM", 2000)


def test_every_tool_reads_the_longer_forms(tmp_path, low_limit):
    save(tmp_path / "state.pth", STATE)
    for found in (archive.read(tmp_path / "state.pth"), torch.load(tmp_path / "state.pth", mmap=True)):
        assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())
    assert zipfile.ZipFile(tmp_path / "state.pth").testzip() is None
    assert subprocess.run(["unzip", "-tq", tmp_path / "state.pth"], capture_output=True, check=False).returncode == 0


def test_every_flipped_byte_outside_the_tensors_is_noticed_in_the_longer_forms(tmp_path, low_limit):
    path = tmp_path / "state.pth"
    save(path, STATE)
    inside = [range(record.start, record.stop) for record in archive.plan(STATE).layout.records[3:-1]]
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(path.read_bytes()):
            if any(place in content for content in inside):
                continue
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            with pytest.raises(DamagedCheckpoint):
                archive.read(path)
            os.pwrite(file.fileno(), bytes([byte]), place)


def test_more_records_than_the_short_form_can_count(tmp_path):
    numbers = torch.arange(70_000)
    names = [f"holdfast/data/{number}" for number in range(70_000)]
    planned = layout.arrange([(name, 0) for name in names])
    tail = layout.directory(planned, [0] * len(names))
    assert layout.read_end(tail[-98:], planned.size) == (len(numbers), planned.directory_offset)


@pytest.mark.long
def test_a_file_of_more_than_4_gb_is_written_and_read(tmp_path):
    zeros = torch.frombuffer(mmap.mmap(-1, 4_400_000_000), dtype=torch.uint8)
    after = torch.arange(5000)
    report = save(tmp_path / "state.pth", {"zeros": zeros, "after": after})
    assert report.size > 4_400_000_000
    archive.verify(tmp_path / "state.pth")
    found = torch.load(tmp_path / "state.pth", weights_only=True, mmap=True)
    assert found["zeros"].shape == (4_400_000_000,)
    assert torch.equal(found["after"], after)
    live = torch.zeros(5000, dtype=torch.int64)
    with archive.checked(tmp_path / "state.pth") as found:
        found.load({("after",): live, ("zeros",): zeros}.get)
    assert torch.equal(live, after)
