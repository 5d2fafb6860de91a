"""No damage goes unnoticed."""

import os
import random
import re

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.errors import CheckpointError, DamagedCheckpoint


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        archive.write(descriptor, state)
    finally:
        os.close(descriptor)


def is_refused(path):
    try:
        archive.read(path)
    except DamagedCheckpoint:
        return True
    return False


def flip_each_bit(path, places, is_noticed):
    """Gives the bits (byte, bit) whose flip goes unnoticed."""
    missed = []
    descriptor = os.open(path, os.O_RDWR)
    for place in places:
        (byte,) = os.pread(descriptor, 1, place)
        for bit in range(8):
            os.pwrite(descriptor, bytes([byte ^ 1 << bit]), place)
            if not is_noticed(path):
                missed.append((place, bit))
        os.pwrite(descriptor, bytes([byte]), place)
    os.close(descriptor)
    return missed


def test_every_flipped_bit_is_noticed(tmp_path):
    save(tmp_path / "state.pth", {"step": 3, "weight": torch.arange(12.0), "name": "x"})
    every_byte = range((tmp_path / "state.pth").stat().st_size)
    assert flip_each_bit(tmp_path / "state.pth", every_byte, is_refused) == []


def test_flipped_bits_in_a_file_of_plain_pytorch_load_unnoticed(tmp_path):
    weight = torch.arange(12.0)
    torch.save({"weight": weight}, tmp_path / "state.pth")
    start = (tmp_path / "state.pth").read_bytes().index(weight.numpy().tobytes())

    def raises(path):
        return torch.load(path, weights_only=True)["weight"].shape != (12,)

    missed = flip_each_bit(tmp_path / "state.pth", range(start, start + weight.nbytes), raises)
    assert len(missed) == 8 * weight.nbytes


def _flip(content, other, draw):
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _zero(length):
    def damage(content, other, draw):
        start = draw.randrange(-(-len(content) // length)) * length
        stop = min(start + length, len(content))
        return content[:start] + bytes(stop - start) + content[stop:]

    return damage


def _swap(content, other, draw):
    blocks = [content[start : start + 512] for start in range(0, len(content), 512)]
    first, second = draw.sample(range(len(blocks) - 1), 2)
    blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks)


def _truncate(content, other, draw):
    return content[: draw.randrange(len(content))]


def _splice(content, other, draw):
    place = draw.randrange(len(content))
    return content[:place] + other[place:]


def _transplant(content, other, draw):
    start = draw.randrange(0, len(content), 512)
    return content[:start] + other[start : start + 512] + content[start + 512 :]


def _append(content, other, draw):
    return content + draw.choice([b"\0", bytes(4096), content, content[-512:], other])


def _prepend(content, other, draw):
    return draw.choice([b"\0", bytes(4096), content[:512], other]) + content


def _duplicate(content, other, draw):
    start = draw.randrange(0, len(content), 512)
    block = content[start : start + 512]
    place = draw.randrange(0, len(content), 512)
    return content[:place] + block + content[draw.choice([place, place + 512]) :]


DAMAGES = [_flip, _zero(512), _zero(4096), _swap, _truncate, _splice, _transplant, _duplicate, _append, _prepend]


def _two_states():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.Linear(40, 5))
    return [{"step": step, "model": {k: v + step for k, v in model.state_dict().items()}} for step in (3, 4)]


def damage_many_times(count, folder):
    first, second = folder / "first.pth", folder / "second.pth"
    for path, state in zip((first, second), _two_states(), strict=True):
        save(path, state)
    content, other = first.read_bytes(), second.read_bytes()
    draw = random.Random(0)
    tried = 0
    while tried < count:
        damage = DAMAGES[tried % len(DAMAGES)]
        damaged = damage(content, other, draw)
        if damaged in (content, other):
            continue
        (folder / "damaged.pth").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            archive.read(folder / "damaged.pth")
        tried += 1


def test_nothing_loads_after_any_of_many_damages(tmp_path):
    damage_many_times(500, tmp_path)


@pytest.mark.long
def test_nothing_loads_after_any_of_a_hundred_thousand_damages(tmp_path):
    damage_many_times(100_000, tmp_path)


def test_the_damaged_tensor_is_named(tmp_path):
    path = tmp_path / "state.pth"
    save(path, {"model_state_dict": {"fc.weight": torch.arange(1000.0)}})
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(1000.0).numpy().tobytes()) + 5] ^= 4
    path.write_bytes(content)
    message = (
        rf"`{re.escape(str(path))}` must hold the bytes that were written, but its record `holdfast/data/0` "
        r"\(tensor `model_state_dict.fc.weight`\) has the checksum \w{8} instead of \w{8}; "
    )
    for check in (archive.verify, archive.read):
        with pytest.raises(DamagedCheckpoint, match=message):
            check(path)


@pytest.mark.parametrize("content", [b"", bytes(5000)], ids=["empty", "zeros"])
def test_what_is_left_of_a_lost_file_counts_as_damaged(tmp_path, content):
    (tmp_path / "state.pth").write_bytes(content)
    with pytest.raises(DamagedCheckpoint):
        archive.verify(tmp_path / "state.pth")


@pytest.mark.parametrize("name", ["state.pth", "holdfast.pth"])
def test_a_file_of_plain_pytorch_is_called_foreign_and_not_damaged(tmp_path, name):
    torch.save({"x": torch.ones(3)}, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"another file; .*holdfast import") as caught:
        archive.read(tmp_path / name)
    assert not isinstance(caught.value, DamagedCheckpoint)


def test_a_text_file_is_called_foreign(tmp_path):
    (tmp_path / "state.pth").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match="another file") as caught:
        archive.verify(tmp_path / "state.pth")
    assert not isinstance(caught.value, DamagedCheckpoint)


def test_a_newer_format_is_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.checkpoint.manifest.FORMAT_VERSION", 2)
    save(tmp_path / "state.pth", {"x": 1})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="must be at most 1, but got 2; read it with a newer Holdfast"):
        archive.read(tmp_path / "state.pth")


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.verify(tmp_path / "none.pth")
