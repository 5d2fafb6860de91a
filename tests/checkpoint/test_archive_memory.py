"""A save takes little memory beside the state, whatever the state holds."""

import os
from pathlib import Path

import pytest
import torch

from holdfast.checkpoint import archive

MOST = 64
"""Megabytes that a save may take beside the state."""

STATES = {
    "one large tensor": lambda: {"x": torch.ones(25_000_000)},
    "many tensors of less than a page or a few": lambda: {str(n): torch.ones(15_000) for n in range(1700)},
    "long bytes": lambda: {"x": bytes(range(256)) * 400_000},
    "a long text": lambda: {"x": "äöü\N{GREEK SMALL LETTER ALPHA}" * 12_000_000},
    "many numbers": lambda: {"losses": [float(n) for n in range(700_000)]},
    "a set of everything": lambda: {
        "tensors": [torch.ones(15_000) for _ in range(500)],
        "bytes": [bytes([n]) * 15_000_000 for n in (0, 255)],
        "numbers": {n: float(n) for n in range(150_000)},
    },
}


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    archive.write(descriptor, state)
    os.close(descriptor)


def kilobytes(field):
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0])


def megabytes_beside(build, write, path):
    """Gives by how much the memory of a process rises while it writes a state, above what the state itself takes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            state = build()
            Path("/proc/self/clear_refs").write_text("5")
            before = kilobytes("VmRSS")
            write(path, state)
            os.write(writing, str((kilobytes("VmHWM") - before) // 1024).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return int(os.read(reading, 20))


@pytest.mark.parametrize("kind", STATES)
def test_a_save_takes_at_most_64_megabytes_beside_the_state(kind, tmp_path):
    assert megabytes_beside(STATES[kind], save, tmp_path / "state.pth") <= MOST


def test_plain_pytorch_takes_more_for_long_bytes(tmp_path):
    def save(path, state):
        torch.save(state, path)

    assert megabytes_beside(STATES["long bytes"], save, tmp_path / "state.pth") > MOST
