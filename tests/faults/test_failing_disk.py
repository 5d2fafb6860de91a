"""A disk that fails costs a run its saves, and nothing else."""

import errno
import os
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.calls import kills, refuses
from tests.faults.disks import NOTES, around_steps, failing_at_saves, fill, note_calls
from tests.processes import forked, result

EPOCHS = ["train", "tests.tiny:system", "--no-tensorboard", "--log-interval", "2", "--save-interval", "1", "--epochs"]
TRAIN = [*EPOCHS, "6"]


@pytest.fixture
def whole(memory):
    assert forked([*TRAIN, "--name", "whole"]) == 0
    return result(memory / "runs" / "whole")


def complaints():
    """Gives what the runs have said of failed saves, and the last line."""
    lines = Path("output.log").read_text().splitlines()
    return [line for line in lines if "could not save" in line], lines[-1]


def without_files(parts):
    """Leaves out which numbered files there are: those that could not be saved are missing."""
    return {name: part for name, part in parts.items() if name != "files"}


@pytest.mark.parametrize(
    "fault,words",
    [
        (refuses(errno.ENOSPC, "posix_fallocate"), "No space left on device"),
        (refuses(errno.ENOSPC, "pwrite"), "No space left on device"),
        (refuses(errno.EIO, "fsync"), "Input/output error"),
        (refuses(errno.EROFS), "Read-only file system"),
    ],
    ids=["reserving", "writing", "fsync", "read-only"],
)
def test_training_goes_on_while_the_disk_refuses_and_ends_with_the_same_bits(memory, whole, fault, words):
    assert forked([*TRAIN, "--name", "hurt"], prepare=failing_at_saves({4, 5}, fault)) == 1
    lines, last = complaints()
    checkpoints = memory / "runs" / "hurt" / "checkpoints"
    assert [re.sub(r".*could not", "could not", line) for line in lines] == [
        f"could not save step {step}: {words}; training goes on, the last good checkpoint is untouched "
        f"({checkpoints}/checkpoint_latest.pth), and the next save tries again"
        for step in (20, 25)
    ]
    assert last.startswith("holdfast: 2 saves failed; the newest good checkpoint is ")
    assert f"{checkpoints}/checkpoint_epoch6.pth" in last and "the last state is saved" in last
    assert (memory / NOTES).read_text().split() == ["15", "15"]
    assert without_files(result(memory / "runs" / "hurt")) == without_files(whole)


def test_a_run_whose_last_save_failed_is_finished_by_a_resume(memory, whole):
    full = failing_at_saves({5, 6}, refuses(errno.ENOSPC, "posix_fallocate"))
    assert forked([*TRAIN, "--name", "hurt"], prepare=full) == 1
    assert "checkpoint_epoch4.pth" in complaints()[1]
    assert forked(["resume", "hurt"]) == 0
    assert result(memory / "runs" / "hurt") == whole


def test_a_run_that_could_never_save_says_so_and_ends_with_an_error(memory):
    full = failing_at_saves({1, 2}, refuses(errno.ENOSPC, "posix_fallocate"))
    assert forked([*EPOCHS, "2", "--name", "hurt"], prepare=full) == 1
    lines, last = complaints()
    assert len(lines) == 2 and all("(there is none yet)" in line for line in lines)
    assert last.startswith("holdfast: 2 saves failed")


def test_files_that_the_kernel_refuses_to_let_grow_do_not_stop_a_training(memory, whole):
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))

    def lift():
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    assert forked([*TRAIN, "--name", "hurt"], prepare=around_steps({17: limit, 21: lift})) == 1
    lines, _ = complaints()
    assert len(lines) == 1 and "File too large" in lines[0]
    assert without_files(result(memory / "runs" / "hurt")) == without_files(whole)


@pytest.fixture
def small_disk(memory):
    """A real disk of two megabytes."""
    (memory / "small").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", "small"], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield memory / "small"
    subprocess.run(["umount", "small"], check=True)


def test_a_disk_that_is_really_full_for_a_while_does_not_stop_a_training(memory, small_disk, whole):
    disk = around_steps({17: lambda: fill(small_disk), 21: lambda: os.unlink(small_disk / "filler")})
    assert forked([*TRAIN, "--output-dir", str(small_disk), "--name", "hurt"], prepare=disk) == 1
    lines, last = complaints()
    assert len(lines) == 1 and "could not save step 20: No space left on device" in lines[0]
    assert last.startswith("holdfast: ") and "checkpoint_epoch6.pth" in last
    assert without_files(result(small_disk / "hurt")) == without_files(whole)


SHORT = [*EPOCHS, "3"]


@pytest.fixture
def short(memory):
    assert forked([*SHORT, "--name", "whole"]) == 0
    return result(memory / "runs" / "whole")


def calls_of_save(number, memory):
    assert forked([*SHORT, "--name", "counted"], prepare=failing_at_saves({number}, note_calls)) == 0
    return len((memory / NOTES).read_text().splitlines())


def kill_and_resume(save, call, memory):
    name = f"killed-{save}-{call}"
    prepare = failing_at_saves({save}, kills(call))
    assert forked([*SHORT, "--name", name], prepare=prepare) == -signal.SIGKILL
    assert forked(["resume", name]) == 0
    return result(memory / "runs" / name)


def test_a_run_killed_in_the_middle_of_a_save_ends_with_the_same_bits(memory, short):
    count = calls_of_save(2, memory)
    for call in (1, 4, 8, 10, 15, count):
        assert kill_and_resume(2, call, memory) == short, f"killed at call {call} of the second save"


@pytest.mark.long
@pytest.mark.parametrize("save", [1, 2, 3])
def test_a_run_killed_at_any_call_of_a_save_ends_with_the_same_bits(memory, short, save):
    count = calls_of_save(save, memory)
    assert count > 20
    for call in range(1, count + 1):
        assert kill_and_resume(save, call, memory) == short, f"killed at call {call} of save {save}"
