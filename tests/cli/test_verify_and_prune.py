import pytest

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--name", "first", "--epochs", "4")


@pytest.fixture
def run(holdfast, here):
    assert holdfast(*TINY)[0] == 0
    return here / "runs" / "first"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_verify_passes_over_a_good_run_checking_each_file_once(holdfast, run):
    code, out, _ = holdfast("verify", "first")
    assert code == 0
    assert out.splitlines()[-1].endswith("checked, 0 bad")


def test_verify_names_the_damaged_record_and_fails(holdfast, run):
    path = run / "checkpoints" / "checkpoint_epoch3.pth"
    flip(path)
    code, out, _ = holdfast("verify", run)
    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith("DAMAGED"))
    assert "checkpoint_epoch3.pth" in line
    assert "record" in line
    assert holdfast("verify", path)[0] == 1


def test_verify_of_nothing_or_of_no_run_is_the_users_mistake(holdfast):
    assert holdfast("verify")[0] == 2
    assert holdfast("verify", "nowhere")[0] == 2


def test_prune_explains_which_rule_keeps_which_file_and_removes_nothing(holdfast, run):
    before = sorted((run / "checkpoints").iterdir())
    code, out, _ = holdfast("prune", "first", "--explain")
    assert code == 0
    assert "checkpoint_epoch4.pth: one of the last 3" in out
    assert sorted((run / "checkpoints").iterdir()) == before


def test_prune_removes_what_no_rule_keeps(holdfast, run):
    old = run / "checkpoints" / "checkpoint_epoch1.pth"
    assert holdfast("resume", "first", "--keep-last-n", "2", "--epochs", "5")[0] == 0
    assert not old.exists()
    code, out, _ = holdfast("prune", "first")
    assert (code, out) == (0, "0 removed\n")


def test_prune_explains_what_is_damaged_without_touching_it(holdfast, run):
    flip(run / "checkpoints" / "checkpoint_epoch2.pth")
    before = sorted((run / "checkpoints").iterdir())
    out = holdfast("prune", "first", "--explain")[1]
    assert "checkpoint_epoch2.pth: damaged" in out
    assert sorted((run / "checkpoints").iterdir()) == before


def test_verify_tells_a_foreign_file_from_a_damaged_one(holdfast, run):
    (run / "checkpoints" / "other.pth").write_text("not a checkpoint")
    code, out, _ = holdfast("verify", "first")
    assert code == 1
    assert "REFUSED" in out
    assert "DAMAGED" not in out
