import io
import os
import shutil
from random import Random

import pytest

from tests.crash.disk import Create, Disk, Link, MakeFolder, Rename, Resize, SyncFile, SyncFolder, Unlink, Write
from tests.crash.recording import Recording
from tests.crash.states import fast_folder, put

ONE, TWO = b"1" * 4096, b"2" * 4096
ZERO = bytes(4096)


def disk_after(*operations):
    disk = Disk()
    for operation in operations:
        disk.apply(operation)
    return disk


def left(disk):
    """Gives every tree that a power cut may leave, as path and content."""
    trees = [{path: file.content for path, file in tree.files.items()} for tree in disk.after_power_cut(Random(0), 0)]
    return [tree for index, tree in enumerate(trees) if tree not in trees[:index]]


def test_blocks_that_were_not_fsynced_may_be_lost_zero_cut_off_or_missing_one_by_one():
    disk = disk_after(Create("a"), SyncFolder(""), Write(0, 0, ONE + TWO))
    contents = {tree["a"] for tree in left(disk)}
    assert contents == {ONE + TWO, b"", ZERO + ZERO, ONE, ONE + ZERO, ZERO + TWO}


def test_an_fsynced_file_keeps_its_bytes():
    assert left(disk_after(Create("a"), SyncFolder(""), Write(0, 0, ONE), SyncFile(0))) == [{"a": ONE}]


def test_a_truncation_that_was_not_fsynced_may_leave_the_old_bytes():
    disk = disk_after(Create("a"), SyncFolder(""), Write(0, 0, ONE), SyncFile(0), Resize(0, 0))
    assert {tree["a"] for tree in left(disk)} == {b"", ONE}


def test_changes_of_a_folder_reach_the_disk_in_their_order_until_it_is_fsynced():
    changes = (Create("a"), Link("a", "b"), Rename("b", "c"), Unlink("a"))
    trees = [sorted(tree) for tree in left(disk_after(*changes))]
    assert sorted(trees) == [[], ["a"], ["a", "b"], ["a", "c"], ["c"]]
    assert left(disk_after(*changes, SyncFolder(""))) == [{"c": b""}]


def test_a_folder_that_is_not_in_its_parent_durably_vanishes_with_all_it_holds():
    disk = disk_after(MakeFolder("new"), Create("new/a"), SyncFolder("new"))
    assert [sorted(tree) for tree in left(disk)] == [[], ["new/a"]]


def test_renaming_onto_another_name_of_the_same_file_does_nothing():
    disk = disk_after(Create("a"), Link("a", "b"), Rename("a", "b"), SyncFolder(""))
    assert sorted(left(disk)[0]) == ["a", "b"]


def test_a_recording_replayed_in_full_gives_the_very_folder_links_included(tmp_path):
    recording = Recording(tmp_path)
    with recording.running():
        (tmp_path / "folder").mkdir()
        descriptor = os.open(tmp_path / "folder" / "a", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"12")
        os.pwrite(descriptor, b"3", 1)
        os.close(descriptor)
        os.link(tmp_path / "folder" / "a", tmp_path / "folder" / "b")
    disk = disk_after(*recording.operations)
    with fast_folder() as copy:
        put(disk.now(), copy)
        assert (copy / "folder" / "a").read_bytes() == b"13"
        assert (copy / "folder" / "a").samefile(copy / "folder" / "b")


def test_what_is_written_through_open_is_recorded(tmp_path):
    recording = Recording(tmp_path)
    with recording.running():
        (tmp_path / "text").write_text("one")
        with open(tmp_path / "text", "a") as file:
            file.write(" two")
        descriptor = os.open(tmp_path / "copy", os.O_CREAT | os.O_RDWR)
        with open(tmp_path / "text", "rb") as original, open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(original, copy)
        os.fsync(descriptor)
        os.close(descriptor)
    writes = [operation.data for operation in recording.operations if isinstance(operation, Write)]
    assert writes == [b"one", b" two", b"one two"]
    assert recording.operations[-1] == SyncFile(1)


def test_an_operation_that_goes_past_the_recorder_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="was not recorded"), Recording(tmp_path).running():
        io.FileIO(tmp_path / "file", "w").close()
