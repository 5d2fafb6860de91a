"""What calls itself the last record, and is none, is not read."""

import os
import zlib

import pytest

from holdfast.checkpoint import archive
from holdfast.checkpoint.layout import arrange, directory
from holdfast.checkpoint.plan import CONSTANTS, record_names
from holdfast.errors import DamagedCheckpoint


def test_a_last_record_that_would_fill_the_file_is_not_read(tmp_path, monkeypatch):
    lengths = [10, *map(len, CONSTANTS.values()), 20_000_000]
    layout = arrange(list(zip(record_names(len(lengths)), lengths, strict=True)))
    with open(tmp_path / "state.pth", "wb") as file:
        file.seek(layout.directory_offset)
        file.write(directory(layout, [0, 0, 0, zlib.crc32(bytes(20_000_000))]))
    real, read = os.preadv, []

    def preadv(descriptor, buffers, *rest):
        read.append(sum(map(len, buffers)))
        return real(descriptor, buffers, *rest)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(DamagedCheckpoint):
        archive.verify(tmp_path / "state.pth")
    assert sum(read) < 100_000
