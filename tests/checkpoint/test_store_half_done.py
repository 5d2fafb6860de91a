"""A state that stands is never called lost, and one that can only be read is still found."""

import errno
import os
import subprocess

import pytest
import torch

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import PartlySaved, Store
from holdfast.errors import CheckpointError
from tests.faults.calls import Calls, refuses


def state(step):
    return {
        "epoch": step,
        "step": step,
        "model_state_dict": {"w": torch.full((3,), float(step))},
        "metric": None,
        "best_step": None,
    }


@pytest.fixture
def told():
    return []


@pytest.fixture
def store(tmp_path, told):
    made = Store(tmp_path / "run" / "checkpoints", Keep(last=2), tell=told.append)
    for step in (1, 2):
        made.save(state(step), number=f"step{step}")
    yield made
    made.close()


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_state_whose_number_stands_is_saved_though_it_could_not_become_the_latest(store, code):
    with Calls(store.folder, refuses(code, "link")).running(), pytest.raises(PartlySaved) as caught:
        store.save(state(3), number="step3")
    assert (caught.value.errno, caught.value.path) == (code, store.folder / "checkpoint_step3.pth")
    assert archive.read(caught.value.path)["step"] == 3
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 2
    store.save(state(4), number="step4")
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 4


def test_a_state_that_could_not_become_the_latest_is_the_newest_for_the_next_process(store):
    with Calls(store.folder, refuses(errno.EIO, "link")).running(), pytest.raises(PartlySaved):
        store.save(state(3), number="step3")
    store.close()
    found = Store(store.folder).load_newest()
    assert found is not None and found[1]["step"] == 3
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 3


def test_a_state_whose_number_does_not_stand_is_not_called_saved(store):
    with Calls(store.folder, refuses(errno.EIO, "pwrite")).running(), pytest.raises(OSError) as caught:
        store.save(state(3), number="step3")
    assert not isinstance(caught.value, PartlySaved)
    assert not (store.folder / "checkpoint_step3.pth").exists()


@pytest.fixture
def mounted(store):
    """Gives the folder of a closed store on a disk that can really only be read."""
    store.close()
    run = store.folder.parent
    bound = subprocess.run(["mount", "--bind", run, run], capture_output=True, text=True, check=False)
    if bound.returncode:
        pytest.skip(f"nothing can be mounted here: {bound.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", run], check=True)
        yield store.folder
    finally:
        subprocess.run(["umount", run], check=True)


def test_the_newest_state_is_loaded_from_a_disk_that_can_only_be_read(mounted, told):
    later = Store(mounted, tell=told.append)
    found = later.load_newest()
    assert found is not None and found[1]["step"] == 2
    assert told == [f"{mounted} cannot be written to (Read-only file system), so nothing is mended there."]
    with pytest.raises(OSError, match="Read-only file system"):
        later.save(state(3), number="step3")


READ_ONLY = [errno.EROFS, errno.EACCES, errno.EPERM]


@pytest.mark.parametrize("code", READ_ONLY, ids=errno.errorcode.get)
def test_a_damaged_file_that_cannot_be_set_aside_is_named_and_an_older_one_is_loaded(store, told, code):
    store.close()
    damage(store.folder / "checkpoint_step2.pth")
    (store.folder / "checkpoint_latest.pth").unlink()
    (store.folder / ".checkpoint_step3.pth.tmp-1-0").touch()
    before = files(store.folder)
    later = Store(store.folder, tell=told.append)
    disk = Calls(store.folder, lambda number, call: refuse_to_change(code, call))
    with disk.running():
        found = later.load_newest()
    assert found is not None and found[1]["step"] == 1
    assert any("checkpoint_step2.pth" in line for line in told)
    assert files(store.folder) == before


def refuse_to_change(code, call):
    """Fails what a disk that can only be read refuses: every change, and every opening for writing."""
    if call.changes or call.path.endswith(".lock"):
        raise OSError(code, os.strerror(code), call.path)


def test_a_folder_that_may_be_written_to_again_is_mended_as_ever(store, told):
    store.close()
    (store.folder / "checkpoint_latest.pth").unlink()
    later = Store(store.folder, tell=told.append)
    disk = Calls(store.folder, lambda number, call: refuse_to_change(errno.EROFS, call))
    with disk.running():
        later.load_newest()
    assert not (store.folder / "checkpoint_latest.pth").exists()
    later.load_newest()
    assert archive.read(store.folder / "checkpoint_latest.pth")["step"] == 2
    later.close()


def test_a_save_into_a_folder_that_may_be_written_to_again_sets_the_damaged_aside(store, told):
    store.save(state(3), number="step3")
    store.close()
    path = store.folder / "checkpoint_step3.pth"
    whole = path.read_bytes()
    (store.folder / "checkpoint_latest.pth").unlink()
    path.unlink()
    path.write_bytes(whole.replace(torch.full((3,), 3.0).numpy().tobytes(), bytes(12)))
    later = Store(store.folder, Keep(last=2), tell=told.append)
    with Calls(store.folder, lambda number, call: refuse_to_change(errno.EROFS, call)).running():
        assert later.load_newest()[1]["step"] == 2
    for step in (4, 5):
        later.save(state(step), number=f"step{step}")
    later.close()
    assert (store.folder / "checkpoint_step3.pth.damaged").exists()


def test_a_folder_in_which_nothing_is_whole_is_an_error_there_as_well(store):
    store.close()
    for path in store.folder.glob("*.pth"):
        damage(path)
    disk = Calls(store.folder, lambda number, call: refuse_to_change(errno.EROFS, call))
    with disk.running(), pytest.raises(CheckpointError, match="none of its files can"):
        Store(store.folder).load_newest()


def test_another_error_of_the_disk_is_no_reason_to_leave_a_folder_as_it_is(store):
    store.close()
    disk = Calls(store.folder, lambda number, call: refuse_to_change(errno.EIO, call))
    with disk.running(), pytest.raises(OSError, match="Input/output error"):
        Store(store.folder).load_newest()


def test_a_file_that_says_of_itself_what_no_checkpoint_says_is_passed_over(store):
    with durable.replacing(store.folder / "checkpoint_step9.pth") as descriptor:
        archive.write(descriptor, {"step": "nine", "epoch": None})
    found = store.load_newest()
    assert found is not None and found[1]["step"] == 2


def test_a_folder_that_another_process_has_is_not_taken_for_one_that_can_only_be_read(store):
    with pytest.raises(CheckpointError, match="one process at a time"):
        Store(store.folder).load_newest()
