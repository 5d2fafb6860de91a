import os
import signal
import subprocess
import sys
import time

import pytest

from holdfast import durable


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "status.json"
    durable.write_file(path, "old")
    durable.write_file(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "file"
    durable.write_file(path, "old")

    def write_half():
        with durable.replacing(path) as descriptor:
            os.write(descriptor, b"half of the ne")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_shares_the_bytes_and_replaces_what_had_the_name(tmp_path):
    durable.write_file(tmp_path / "a", "1")
    durable.write_file(tmp_path / "b", "2")
    durable.link(tmp_path / "a", tmp_path / "b")
    durable.link(tmp_path / "a", tmp_path / "b")
    assert os.path.samefile(tmp_path / "a", tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_folders_are_made_with_their_parents_and_may_exist(tmp_path):
    durable.make_folder(tmp_path / "a" / "b" / "c")
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_lock_is_refused_while_held_and_free_after_release(tmp_path):
    first, second = durable.Lock(tmp_path / ".lock"), durable.Lock(tmp_path / ".lock")
    assert not first.is_held()
    assert first.acquire()
    assert not second.acquire()
    assert second.is_held()
    first.release()
    assert second.acquire()


def test_a_killed_process_holds_no_lock_even_if_its_forked_children_live(tmp_path):
    path = tmp_path / ".lock"
    script = f"""
import os, sys, time
from pathlib import Path
from holdfast.durable import Lock
lock = Lock(Path({str(path)!r}))
assert lock.acquire()
if os.fork() == 0:
    time.sleep(30)
print("locked", flush=True)
time.sleep(30)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    lock = durable.Lock(path)
    assert lock.is_held()
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.05)
    assert not lock.is_held()
    os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
