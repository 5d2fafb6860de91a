"""Checkpoints in a folder that cannot be written to."""

import errno
import os

import pytest
import torch

from holdfast import durable
from holdfast.checkpoint.store import Store
from holdfast.errors import CheckpointError


def state(step):
    return {"epoch": step, "step": step, "metric": None, "best_step": None, "model_state_dict": {"w": torch.ones(step)}}


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path)
    for step in (1, 2, 3):
        store.save(state(step), number=f"epoch{step}")
    store.close()
    return tmp_path


@pytest.fixture
def read_only(folder, monkeypatch):
    """Makes every call that would write there fail, as a read-only file system does (permissions do not stop root)."""

    def refused(*args, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(durable.Lock, "acquire", refused)
    for name in ("rename", "replace", "link", "unlink"):
        monkeypatch.setattr(os, name, refused)
    return folder


def test_the_newest_is_loaded_and_a_line_says_that_nothing_is_mended(read_only):
    said = []
    path, found = Store(read_only, tell=said.append).load_newest()
    assert (path.name, found["step"]) == ("checkpoint_epoch3.pth", 3)
    (line,) = said
    assert "cannot be written to" in line


def test_a_damaged_one_is_named_and_left_and_the_next_older_is_loaded(folder, request):
    newest = folder / "checkpoint_epoch3.pth"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    request.getfixturevalue("read_only")
    said = []
    _, found = Store(folder, tell=said.append).load_newest()
    assert found["step"] == 2
    assert any("checkpoint_epoch3.pth" in line or "checkpoint_latest.pth" in line for line in said)
    assert newest.exists()


def test_saving_there_is_an_error(read_only):
    with pytest.raises((OSError, CheckpointError)):
        Store(read_only).save(state(4), number="epoch4")
