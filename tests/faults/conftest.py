import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def memory(monkeypatch):
    """An empty folder, in memory where possible, that is the current one: hundreds of saves need no real disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        folder = Path(os.path.realpath(name))
        monkeypatch.chdir(folder)
        yield folder
        monkeypatch.undo()
