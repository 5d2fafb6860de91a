import os

import pytest
import torch

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.errors import CheckpointError, DamagedCheckpoint


def state(step, *, epoch=0, best_step=None, metric=None):
    return {
        "version": 1,
        "stage": "train",
        "epoch": epoch,
        "step": step,
        "samples": step,
        "model_state_dict": {"w": torch.full((3,), float(step))},
        "metric": metric,
        "best_metric": metric,
        "best_step": best_step,
    }


@pytest.fixture
def told():
    return []


@pytest.fixture
def store(tmp_path, told):
    return Store(tmp_path / "checkpoints", Keep(last=2), tell=told.append)


def names(store):
    return sorted(name for name in os.listdir(store.folder) if name != ".lock")


def test_nothing_is_loaded_from_an_empty_or_missing_folder(store):
    assert store.load_newest() is None
    assert store.latest() is None


def test_one_state_costs_its_bytes_once_under_all_its_names(store):
    store.save(state(10, epoch=1, best_step=10, metric=0.5), number="epoch1", is_best=True)
    files = [store.folder / name for name in names(store) if name.startswith("checkpoint_")]
    assert len(files) == 3
    assert len({path.stat().st_ino for path in files}) == 1


def test_the_best_weights_are_a_bare_state_dict_that_torch_opens(store):
    store.save(state(10, best_step=10, metric=0.5), is_best=True)
    weights = torch.load(store.folder / "weights_best.pth", weights_only=True)
    assert weights["w"].tolist() == [10, 10, 10]


def test_only_the_last_ones_the_latest_and_the_best_are_kept(store):
    store.save(state(1, epoch=1, best_step=1, metric=1.0), number="epoch1", is_best=True)
    for epoch in (2, 3, 4):
        store.save(state(epoch, epoch=epoch), number=f"epoch{epoch}")
    assert names(store) == [
        "checkpoint_best.pth",
        "checkpoint_epoch3.pth",
        "checkpoint_epoch4.pth",
        "checkpoint_latest.pth",
        "weights_best.pth",
    ]
    assert archive.read(store.folder / "checkpoint_best.pth")["step"] == 1


def test_milestones_are_kept_for_ever(tmp_path):
    store = Store(tmp_path, Keep(last=1, milestones=frozenset({2})))
    for epoch in range(1, 7):
        store.save(state(epoch, epoch=epoch), number=f"epoch{epoch}")
    assert "checkpoint_epoch2.pth" in names(store)
    assert "checkpoint_epoch3.pth" not in names(store)


def test_never_fewer_than_two_are_kept(tmp_path):
    store = Store(tmp_path, Keep(last=1))
    for step in (1, 2, 3):
        store.save(state(step), number=f"step{step}")
    assert [name for name in names(store) if "step" in name] == ["checkpoint_step2.pth", "checkpoint_step3.pth"]


def test_the_newest_state_wins_whatever_its_name(store):
    store.save(state(10), number="step10")
    store.save(state(12))
    newest = store.load_newest()
    assert newest is not None
    assert (newest[0].name, newest[1]["step"]) == ("checkpoint_latest.pth", 12)


def test_a_damaged_file_is_set_aside_and_named_and_the_next_older_one_used(store, told):
    store.save(state(10), number="step10")
    store.save(state(12), number="step12")
    path = store.folder / "checkpoint_step12.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    (store.folder / "checkpoint_latest.pth").unlink()
    path.write_bytes(data)
    newest = store.load_newest()
    assert newest is not None and newest[1]["step"] == 10
    assert "checkpoint_step12.pth.damaged" in names(store)
    assert len(told) == 1 and "checkpoint_step12.pth" in told[0]
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 10


def test_a_kill_between_the_save_and_its_links_is_mended_on_loading(store):
    store.save(state(1, best_step=1, metric=0.1), number="step1", is_best=True)
    store.save(state(2, best_step=2, metric=0.9), number="step2")  # the links of `best` were never made
    os.unlink(store.folder / "checkpoint_latest.pth")
    store.load_newest()
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 2
    assert archive.read(store.folder / "checkpoint_best.pth")["step"] == 2
    assert torch.load(store.folder / "weights_best.pth", weights_only=True)["w"].tolist() == [2, 2, 2]


def test_a_failed_write_leaves_the_last_state_as_it_was(store, monkeypatch):
    store.save(state(1), number="step1")

    def full(descriptor, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    with pytest.raises(OSError, match="No space"):
        store.save(state(2), number="step2")
    monkeypatch.undo()
    assert names(store) == ["checkpoint_latest.pth", "checkpoint_step1.pth"]


def test_without_hard_links_the_names_are_copies_and_everything_else_stays_true(store, monkeypatch, told):
    def no_links(source, target):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for epoch in (1, 2, 3, 4):
        is_best = epoch == 2
        saved = state(epoch, epoch=epoch, best_step=epoch if is_best else 2, metric=0.5 if is_best else None)
        store.save(saved, number=f"epoch{epoch}", is_best=is_best)
    assert names(store) == [
        "checkpoint_best.pth",
        "checkpoint_epoch3.pth",
        "checkpoint_epoch4.pth",
        "checkpoint_latest.pth",
        "weights_best.pth",
    ]
    assert archive.read(store.folder / "checkpoint_best.pth")["step"] == 2
    newest = store.load_newest()
    assert newest is not None
    assert newest[1]["step"] == 4
    assert told == []


def test_what_a_dead_process_left_half_written_is_removed(store):
    store.folder.mkdir()
    (store.folder / ".checkpoint_epoch1.pth.tmp-999999").write_bytes(b"half")
    store.save(state(1), number="epoch1")
    assert os.listdir(store.folder).count(".checkpoint_epoch1.pth.tmp-999999") == 0


def test_a_file_of_somebody_else_is_left_alone_and_named(store, told):
    store.save(state(1), number="step1")
    torch.save({"weights": torch.ones(3)}, store.folder / "checkpoint_step2.pth")
    newest = store.load_newest()
    assert newest is not None
    assert newest[1]["step"] == 1
    assert (store.folder / "checkpoint_step2.pth").exists()
    assert any("checkpoint_step2.pth" in line for line in told)


def test_a_damaged_newest_one_is_found_before_an_older_good_one_is_removed(store, told):
    for step in (1, 2, 3):
        store.save(state(step), number=f"step{step}")
    store.close()
    later = Store(store.folder, Keep(last=2), tell=told.append)
    path = later.folder / "checkpoint_step3.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    later.save(state(4), number="step4")
    assert "checkpoint_step2.pth" in names(later)
    assert "checkpoint_step3.pth.damaged" in names(later)
    assert any("checkpoint_step3.pth" in line for line in told)


def test_a_folder_in_which_nothing_can_be_read_is_an_error_not_a_new_beginning(store, told):
    store.save(state(1), number="step1")
    path = store.folder / "checkpoint_step1.pth"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="none of its files can"):
        store.load_newest()


def test_every_truncation_of_our_own_file_is_known_as_damage(tmp_path):
    with durable.replacing(tmp_path / "whole.pth") as descriptor:
        archive.write(descriptor, {"a": torch.ones(3)})
    data = (tmp_path / "whole.pth").read_bytes()
    for length in range(len(data)):
        (tmp_path / "cut.pth").write_bytes(data[:length])
        with pytest.raises(DamagedCheckpoint):
            archive.verify(tmp_path / "cut.pth")
