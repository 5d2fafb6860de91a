"""Damage in the few bytes that say where everything lies is found by reading few bytes."""

import os

import pytest
import torch

from holdfast.checkpoint import archive, layout
from holdfast.checkpoint.layout import END_LENGTH, LayoutError
from holdfast.checkpoint.manifest import refuse_newer
from holdfast.errors import CheckpointError, DamagedCheckpoint

LITTLE = 64 * 1024


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    archive.write(descriptor, state)
    os.close(descriptor)


@pytest.fixture
def reads(monkeypatch):
    """Counts the bytes that are read."""
    real, counts = os.preadv, []

    def preadv(descriptor, buffers, *rest):
        counts.append(sum(map(len, buffers)))
        return real(descriptor, buffers, *rest)

    monkeypatch.setattr(os, "preadv", preadv)
    return counts


@pytest.fixture
def large(tmp_path):
    """Gives a file of 40 MB and the plan by which it was written."""
    state = {"weights": torch.zeros(10_000_000), "bias": torch.ones(3), "epoch": 1}
    save(tmp_path / "state.pth", state)
    return tmp_path / "state.pth", archive.plan(state).layout


def flipped_bits(path, start, stop):
    """Damages each bit between two places of a file in turn."""
    with open(path, "r+b", buffering=0) as file:
        for place in range(start, stop):
            byte = os.pread(file.fileno(), 1, place)[0]
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                yield place, bit
            os.pwrite(file.fileno(), bytes([byte]), place)


def test_a_flipped_bit_of_the_end_or_the_directory_is_found_by_reading_little(large, reads):
    path, planned = large
    most = 0
    for _ in flipped_bits(path, planned.directory_offset, planned.size):
        reads.clear()
        with pytest.raises(DamagedCheckpoint):
            archive.verify(path)
        most = max(most, sum(reads))
    assert most <= LITTLE


def test_a_flipped_bit_of_a_header_is_found_by_reading_little(large, reads):
    path, planned = large
    for record in planned.records:
        for _ in flipped_bits(path, record.offset, record.offset + 30):
            reads.clear()
            with pytest.raises(DamagedCheckpoint):
                archive.verify(path)
            assert sum(reads) <= LITTLE


@pytest.mark.parametrize("field", [slice(12, 16), slice(16, 20)], ids=["length", "offset"])
def test_a_damaged_end_is_named_with_what_it_says(large, field):
    path, planned = large
    with open(path, "r+b") as file:
        file.seek(planned.size - END_LENGTH + field.start)
        file.write(b"\x01\x02\x03\x00")
    said = r"the end of the file names a directory of 6 records in \d+ bytes from byte \d+ on, which cannot be"
    with pytest.raises(DamagedCheckpoint, match=said):
        archive.verify(path)


@pytest.mark.parametrize("count", [0, 1, 5000, 65534])
def test_a_directory_that_is_too_long_or_too_short_for_its_records_is_not_read(count):
    contents = [(f"holdfast/data/{number}", 10) for number in range(1000)]
    whole = layout.directory(layout.arrange(contents), [0] * 1000)
    size = layout.arrange(contents).size
    assert layout.read_end(whole[-98:], size)[0] == 1000
    crafted = whole[:-12] + count.to_bytes(2, "little") + whole[-10:]
    with pytest.raises(LayoutError, match=f"a directory of {count} records"):
        layout.read_end(crafted[-98:], size)


def test_a_last_record_that_is_no_manifest_says_nothing_of_newer_formats():
    for content in (b"[" * 100_000, b"[1]", b'{"version": "2"}', b"\xff", b""):
        refuse_newer(content)
    with pytest.raises(CheckpointError, match="must be at most 1, but got 2"):
        refuse_newer(b'{"version": 2}')
