"""The same claims where the kernel itself is the witness: strace sees the real calls, and makes them fail."""

import collections
import os
import re
import signal
from pathlib import Path

import pytest
import torch

from holdfast.checkpoint.store import Store
from tests.faults.order import faults_in
from tests.faults.saves import STORIES, temporary_files
from tests.faults.test_system_calls import calls_of, fresh
from tests.faults.tracing import calls_in, events_of, reason_against, say_saved, traced

every_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
FAILING = ("openat", "mkdir", "fallocate", "write", "pwrite64", "fsync", "rename", "link", "unlink")


@pytest.fixture
def strace(memory):
    reason = reason_against(memory)
    if reason:
        pytest.skip(reason)


def save_and_say_so(story, store):
    story.save(store, story.hit)
    say_saved()


def trace_of(story, memory):
    """Gives the calls of the save that is hit, undisturbed, and the files before it."""
    calls_of(story, memory)  # what Python opens only the first time would be counted, too
    folder = fresh(memory)
    with story.file_system():
        story.begun(folder).close()
        existing = [str(path) for path in folder.glob("*")]
        code, calls = traced(lambda: save_and_say_so(story, Store(folder, story.keep)), memory / "trace")
    assert code == 0
    return calls, existing


@every_story
def test_the_kernel_sees_each_step_after_the_one_before_is_on_the_disk(strace, memory, story):
    calls, existing = trace_of(story, memory)
    events = events_of(calls, memory)
    assert {"create", "write", "sync", "rename", "acknowledged"} <= {event.kind for event in events}
    assert faults_in(events, existing) == []


def test_the_kernel_sees_the_names_move_before_the_old_one_is_removed(strace, memory):
    calls, _ = trace_of(STORIES["a number, the best, one removed"], memory)
    moves = [
        (event.kind, Path(event.target or event.path).name)
        for event in events_of(calls, memory)
        if event.kind in ("rename", "remove")
    ]
    new, latest, *best, removed = [move for move in moves if not move[1].startswith(".")]
    assert new == ("rename", "checkpoint_epoch4.pth")
    assert latest == ("rename", "checkpoint_latest.pth")
    assert sorted(best) == [("rename", "checkpoint_best.pth"), ("rename", "weights_best.pth")]
    assert removed == ("remove", "checkpoint_epoch2.pth")


def save_in_place(path):
    torch.save({"weight": torch.ones(1000)}, path)
    say_saved()


def save_and_rename(path):
    torch.save({"weight": torch.ones(1000)}, path.with_name(".new.pth"))
    os.replace(path.with_name(".new.pth"), path)
    say_saved()


@pytest.mark.parametrize(
    "act,found",
    [
        (save_in_place, {"written in place", "called saved before"}),
        (save_and_rename, {"renamed before its data", "called saved before"}),
    ],
)
def test_what_most_trainers_do_is_found_wanting(strace, memory, act, found):
    code, calls = traced(lambda: act(memory / "state.pth"), memory / "trace")
    assert code == 0
    faults = faults_in(events_of(calls, memory), [str(memory / "state.pth")])
    assert found <= {words for words in found for fault in faults if words in fault}


def test_calls_of_several_threads_are_put_together():
    log = """\
    7 pwrite64(3</c/.new>, ""..., 9, 0 <unfinished ...>
    8 fsync(4</c>) = 0
    7 <... pwrite64 resumed>)           = 9
    7 rename("/c/.new", "/c/epoch1") = -1 EIO (Input/output error) (INJECTED)
    7 fsync(3</c/.new>)                 = ?
    7 +++ killed by SIGKILL +++"""
    calls = list(calls_in(re.sub("(?m)^ +", "", log).splitlines()))
    assert [(call.name, call.paths, call.result) for call in calls] == [
        ("fsync", ["/c"], 0),
        ("pwrite64", ["/c/.new"], 9),
        ("rename", ["/c/.new", "/c/epoch1"], -1),
    ]


def save_despite_an_error(story, folder):
    told = []
    store = Store(folder, story.keep, tell=told.append)
    try:
        story.save(store, story.hit)
    except OSError as error:
        told.append(str(error))
    # An error is raised, or told when the state stands and only an older file could not be read.
    assert len(told) == 1
    story.check(folder, newest={story.before or None, story.hit})
    story.save(store, story.hit + 1)


@pytest.mark.long
@every_story
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
def test_every_call_that_the_kernel_fails_loses_nothing(strace, memory, story, fault):
    calls, _ = trace_of(story, memory)
    counts = collections.Counter(call.name for call in calls if call.name in FAILING)
    assert counts["fsync"] >= 4
    for name, count in counts.items():
        for number in range(1, count + 1):
            check_injection(story, memory, f"{name}:{fault}:when={number}")


def check_injection(story, memory, injection):
    folder = fresh(memory)
    with story.file_system():
        story.begun(folder).close()
        if "KILL" in injection:
            code, _ = traced(lambda: story.save(Store(folder, story.keep), story.hit), memory / "trace", injection)
            assert code == -signal.SIGKILL, injection
            story.check(folder, newest={story.before or None, story.hit})
            story.save(Store(folder, story.keep), story.hit + 1)
        else:
            code, _ = traced(lambda: save_despite_an_error(story, folder), memory / "trace", injection)
            assert code == 0, injection
        story.check(folder, newest={story.hit + 1})
        assert temporary_files(folder) == []
