"""`backup`: a copy of a run that is complete or not there, also of a run that is being trained."""

import os
import re
import shutil
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.cli.main import run

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--name", "first", "--epochs", "3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs."""
    place = tmp_path_factory.mktemp("finished")
    assert run([*TINY, "--output-dir", str(place)]) == 0
    for path in (place / "first" / "code").rglob("test_*.py"):
        path.unlink()
    return place / "first"


@pytest.fixture
def first(finished, here):
    folder = here / "runs" / "first"
    folder.parent.mkdir()
    # With links kept, as `cp -a` does it.
    shutil.copytree(finished, folder)
    for name in ("latest", "best"):
        path = folder / "checkpoints" / f"checkpoint_{name}.pth"
        same = [
            one for one in path.parent.glob("checkpoint_epoch*.pth") if one.read_bytes() == path.read_bytes() != b""
        ]
        path.unlink()
        os.link(same[0], path)
    return folder


def made(place="backups"):
    (path,) = Path(place).iterdir()
    return path


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_backup_is_the_whole_run_under_its_name_and_the_time(holdfast, first):
    code, out, err = holdfast("backup", "first")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"first_\d{8}_\d{6}", made().name)
    assert "3 checkpoints checked, byte by byte" in out or "4 checkpoints checked, byte by byte" in out
    expected = {name: content for name, content in contents(first).items() if not name.endswith(".lock")}
    assert contents(made()) == expected
    latest, best = (made() / "checkpoints" / f"checkpoint_{name}.pth" for name in ("latest", "best"))
    assert latest.stat().st_nlink >= 2
    assert best.stat().st_nlink >= 2
    assert not latest.samefile(first / "checkpoints" / "checkpoint_latest.pth")


def test_a_backup_is_a_run_that_goes_on(holdfast, first):
    holdfast("backup", "first", "kept")
    shutil.rmtree(first)
    code, out, _ = holdfast("resume", made("kept"), "--epochs", "4")
    assert code == 0, out
    assert archive.read_counters(made("kept") / "checkpoints" / "checkpoint_latest.pth")["epoch"] == 4


def test_weights_only_leaves_the_rest_out(holdfast, first):
    assert holdfast("backup", "first", "--weights-only")[0] == 0
    names = sorted(contents(made()))
    inside = ["checkpoints/weights_best.pth", "config.json", "config.yaml", "git_commit.txt", "provenance.json"]
    assert names == [*inside, "status.json"]
    assert len(torch.load(made() / names[0], weights_only=True)) == 9


def test_weights_only_takes_the_latest_where_there_is_no_best(holdfast, first):
    for name in ("weights_best.pth", "checkpoint_best.pth"):
        (first / "checkpoints" / name).unlink()
    assert holdfast("backup", "first", "--weights-only")[0] == 0
    expected = torch.load(first / "checkpoints" / "checkpoint_latest.pth", weights_only=True)["model_state_dict"]
    found = torch.load(made() / "checkpoints" / "weights_latest.pth", weights_only=True)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_two_backups_in_one_second_get_two_names(holdfast, first):
    for _ in range(2):
        assert holdfast("backup", "first")[0] == 0
    assert len(list(Path("backups").iterdir())) == 2


def test_a_checkpoint_that_is_damaged_in_the_run_is_named_and_left_out(holdfast, first):
    path = first / "checkpoints" / "checkpoint_epoch1.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    code, out, _ = holdfast("backup", "first")
    assert code == 1
    assert "DAMAGED in the run itself, so left out: checkpoints/checkpoint_epoch1.pth" in out
    assert not (made() / "checkpoints" / "checkpoint_epoch1.pth").exists()
    assert (made() / "checkpoints" / "checkpoint_epoch3.pth").exists()


def test_a_copy_that_is_not_what_was_copied_is_never_a_backup(holdfast, first, monkeypatch):
    def torn(original, copy, length):
        copy.write(original.read()[:-100])

    monkeypatch.setattr(shutil, "copyfileobj", torn)
    code, _, err = holdfast("backup", "first")
    assert code == 1 and "must hold the bytes that were written" in err and err.count("\n") == 1
    assert list(Path("backups").iterdir()) == []


def test_without_room_nothing_is_written(holdfast, first, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    code, _, err = holdfast("backup", "first")
    assert code == 2 and "must have room" in err
    assert list(Path("backups").iterdir()) == []


def test_a_backup_into_the_run_itself_or_of_no_run_is_refused(holdfast, first, entries):
    assert holdfast("backup", "first", first / "backups")[0] == 2
    assert not (first / "backups").exists()
    assert holdfast("backup", "second")[0] == 2
    assert entries() == ["runs"]


def test_a_killed_backup_leaves_no_backup_and_the_next_one_tidies_up(holdfast, first, monkeypatch):
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(archive, "verify", lambda path: os.kill(os.getpid(), signal.SIGKILL))
        run(["backup", "first"])
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (half,) = Path("backups").iterdir()
    assert half.name.startswith(".first_")
    long_ago = time.time() - 3600
    os.utime(half, (long_ago, long_ago))
    assert holdfast("backup", "first")[0] == 0
    assert made().name.startswith("first_")


def test_a_run_can_be_copied_while_it_saves(holdfast, first):
    state = archive.read(first / "checkpoints" / "checkpoint_latest.pth")
    stop = threading.Event()

    def save_on_and_on():
        with closing(Store(first / "checkpoints", Keep(last=2), tell=lambda line: None)) as store:
            epoch = 3
            while not stop.is_set():
                epoch += 1
                now = state | {"epoch": epoch, "step": 5 * epoch, "best_step": 5 * epoch, "metric": 1.0 / epoch}
                store.save(now, number=f"epoch{epoch}", is_best=True)
                time.sleep(0.02)

    saving = threading.Thread(target=save_on_and_on)
    saving.start()
    try:
        outcomes = [holdfast("backup", "first", f"kept{number}") for number in range(3)]
    finally:
        stop.set()
        saving.join()
    for number, (code, _, err) in enumerate(outcomes):
        assert code == 0, err
        folder = made(f"kept{number}") / "checkpoints"
        latest = archive.read(folder / "checkpoint_latest.pth")
        best = archive.read(folder / "checkpoint_best.pth")
        assert latest["epoch"] > 3 or number == 0
        assert best["step"] == latest["best_step"]
        with closing(Store(folder, tell=lambda line: None)) as store:
            found = store.load_newest()
        assert found is not None and found[1]["epoch"] == latest["epoch"]
