"""Every call of a save fails once, or is the last one of its process: no acknowledged checkpoint is ever lost."""

import errno
import itertools
import os
import shutil
import signal

import pytest

from holdfast import durable
from holdfast.checkpoint.store import Store
from tests.faults.calls import Calls, fails, kills, refuses
from tests.faults.order import ACKNOWLEDGED, events_of, faults_in
from tests.faults.saves import STORIES, temporary_files

every_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())


def fresh(memory):
    shutil.rmtree(memory / "run", ignore_errors=True)
    (memory / "run").mkdir()
    return memory / "run" / "checkpoints"


def calls_of(story, memory):
    """Gives the calls of the save that is hit, undisturbed."""
    with story.file_system():
        store = story.begun(fresh(memory))
        with Calls(memory).running() as calls:
            story.save(store, story.hit)
        store.close()
    return calls.made


def fail_at(number, code, story, memory):
    """Lets one call of a save fail, looks at what is there, and saves the next state with the same store.

    A save that fails says so by an error; one that stands, but could not read an older file, tells it.
    """
    folder, told = fresh(memory), []
    with story.file_system():
        store = story.begun(folder, tell=told.append)
        try:
            with Calls(memory, fails(number, code)).running():
                story.save(store, story.hit)
        except OSError as error:
            assert error.errno == code  # noqa: PT017 - a save may also stand, and tell
        else:
            assert len(told) == 1
            assert os.strerror(code) in told[0]
        story.check(folder, newest={story.before or None, story.hit})
        go_on(store, story)


def kill_at(number, story, memory):
    """Kills a process at one call of a save, looks at what is there, and saves the next state in another process."""
    folder = fresh(memory)
    with story.file_system():
        story.begun(folder).close()
        assert in_a_fork(lambda: save_until_killed(story, folder, number)) == -signal.SIGKILL
        story.check(folder, newest={story.before or None, story.hit})
        go_on(Store(folder, story.keep), story)


def go_on(store, story):
    story.save(store, story.hit + 1)
    story.check(store.folder, newest={story.hit + 1})
    assert temporary_files(store.folder) == []
    store.close()


@every_story
def test_an_error_at_any_call_of_a_save_loses_nothing_and_the_next_save_works(memory, story):
    for number in range(1, len(calls_of(story, memory)) + 1):
        fail_at(number, (errno.EIO, errno.ENOSPC)[number % 2], story, memory)


@pytest.mark.long
@every_story
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
def test_every_error_at_every_call_of_a_save_loses_nothing_and_the_next_save_works(memory, story, code):
    for number in range(1, len(calls_of(story, memory)) + 1):
        fail_at(number, code, story, memory)


@every_story
def test_a_kill_at_any_call_that_changes_the_disk_loses_nothing_and_the_next_process_saves(memory, story):
    for number, call in enumerate(calls_of(story, memory), 1):
        if call.changes:
            kill_at(number, story, memory)


@pytest.mark.long
@every_story
def test_a_kill_at_every_call_of_a_save_loses_nothing_and_the_next_process_saves(memory, story):
    for number in range(1, len(calls_of(story, memory)) + 1):
        kill_at(number, story, memory)


def save_until_killed(story, folder, number):
    store = Store(folder, story.keep)
    Calls(folder.parent.parent, kills(number)).install()
    story.save(store, story.hit)


def in_a_fork(act):
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@every_story
def test_a_disk_that_can_only_be_read_from_any_call_on_has_lost_nothing(memory, story):
    refuse = refuses(errno.EROFS)
    changing = [number for number, call in enumerate(calls_of(story, memory), 1) if call.changes]
    for number in changing:
        folder = fresh(memory)
        with story.file_system():
            store = story.begun(folder)
            disk = Calls(memory, lambda this, call: refuse(this, call) if this >= number else None)  # noqa: B023
            with disk.running(), pytest.raises(OSError):
                story.save(store, story.hit)
            story.check(folder, newest={story.before or None, story.hit})
            story.save(store, story.hit + 1)
            story.check(folder, newest={story.hit + 1})
            store.close()


def what_for(call):
    """Gives the name that a call works towards: temporary names have a random end."""
    return str(call.path).partition(".tmp-")[0]


@every_story
def test_after_an_error_of_fsync_everything_is_written_to_a_new_file(memory, story):
    syncs = [number for number, call in enumerate(calls_of(story, memory), 1) if call.name == "fsync"]
    assert len(syncs) >= 2
    for number in syncs:
        with story.file_system():
            store = story.begun(fresh(memory))
            with Calls(memory, fails(number, errno.EIO)).running() as calls:
                with pytest.raises(OSError):
                    story.save(store, story.hit)
                story.save(store, story.hit)
            store.close()
        failed, later = calls.made[number - 1], calls.made[number:]
        assert [call.name for call in later if call.opening == failed.opening] == ["close"]
        openings = [call for call in later if call.name == "open" and what_for(call) == what_for(failed)]
        assert openings and all(call.creates or os.path.isdir(call.path) for call in openings)


def test_a_disk_that_takes_only_a_part_of_each_write_gets_the_rest_with_the_next(memory):
    story = STORIES["a number, the best, one removed"]
    store = story.begun(fresh(memory))
    write = os.pwrite
    counts = itertools.count()

    def write_a_part(descriptor, data, place):
        next(counts)
        return write(descriptor, memoryview(data)[: max(1, len(data) // 2)], place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", write_a_part)
        story.save(store, story.hit)
    store.close()
    assert next(counts) > 20
    story.check(store.folder, newest={story.hit})


def test_a_full_disk_shows_before_anything_is_written(memory):
    story = STORIES["a number, the best, one removed"]
    store = story.begun(fresh(memory))
    with Calls(memory, refuses(errno.ENOSPC, "posix_fallocate")).running() as calls, pytest.raises(OSError):
        story.save(store, story.hit)
    store.close()
    assert not {"write", "pwrite", "replace", "link"} & {call.name for call in calls.made}


@every_story
def test_each_step_of_a_save_waits_until_the_one_before_is_on_the_disk(memory, story):
    calls = calls_of(story, memory)
    store = story.begun(fresh(memory))
    existing = [str(path) for path in store.folder.iterdir()] if store.folder.exists() else []
    store.close()
    names = {call.name for call in calls}
    assert {"fsync", "replace", "pwrite"} <= names
    assert faults_in([*events_of(calls), ACKNOWLEDGED], existing) == []


def test_the_order_is_seen_to_be_wrong_when_folders_are_not_synced(memory, monkeypatch):
    monkeypatch.setattr(durable, "fsync_folder", lambda folder: None)
    calls = calls_of(STORIES["first save"], memory)
    found = faults_in([*events_of(calls), ACKNOWLEDGED])
    assert "checkpoint_epoch1.pth gets another name before it is on the disk" in found
    assert "checkpoints is called saved before it is on the disk" in found
