import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from holdfast.run import provenance
from holdfast.run.provenance import describe


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current folder, and a git that knows nobody's settings."""
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "someone@example.org")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(*words, folder="."):
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_all(folder="."):
    git("init", "-q", "-b", "main", folder=folder)
    git("add", ".", folder=folder)
    git("commit", "-q", "-m", "first", folder=folder)
    return git("rev-parse", "HEAD", folder=folder)


def test_a_clean_repository_gives_commit_and_branch():
    Path("train.py").write_text("one\n")
    commit = commit_all()
    found = describe(["train"], seed=1, source=None)
    assert found.commit == commit
    assert found.document["git"] == {"root": str(Path.cwd()), "commit": commit, "branch": "main", "dirty": False}
    assert found.files == {}


def test_what_is_not_committed_is_kept_with_the_names_of_untracked_files():
    Path("train.py").write_text("one\n")
    commit_all()
    Path("train.py").write_text("two\n")
    Path("notes.txt").write_text("mine")
    found = describe(["train"], seed=1, source=None)
    assert found.document["git"]["dirty"] is True
    lines = found.files["code/uncommitted.diff"].decode().splitlines()
    assert lines[0] == "# not tracked: notes.txt"
    assert lines[-2:] == ["-one", "+two"]


def test_a_huge_difference_is_cut_off_and_says_so(monkeypatch):
    Path("data.txt").write_text("one\n")
    commit_all()
    Path("data.txt").write_text("two\n" * 1000)
    monkeypatch.setattr(provenance, "_MOST_BYTES", 1000)
    kept = describe(["train"], seed=1, source=None).files["code/uncommitted.diff"]
    assert len(kept) < 1100
    assert kept.endswith(b"# cut off here: the difference is larger than 5 MB\n")


def test_no_repository_is_said():
    found = describe(["train"], seed=1, source=None)
    assert found.commit == "none (not inside a git repository)"
    assert found.document["git"] == {"none": "not inside a git repository"}


def test_a_repository_without_a_commit_is_said():
    git("init", "-q", "-b", "main")
    Path("train.py").touch()
    found = describe(["train"], seed=1, source=None)
    assert found.commit == "none (a git repository without a commit)"
    assert (found.document["git"]["branch"], found.document["git"]["dirty"]) == ("main", True)
    assert found.files["code/uncommitted.diff"].startswith(b"# not tracked: train.py\n# no difference")


def test_a_detached_head_has_a_commit_and_no_branch():
    Path("train.py").touch()
    commit = commit_all()
    git("checkout", "-q", "--detach")
    state = describe(["train"], seed=1, source=None).document["git"]
    assert (state["commit"], state["branch"]) == (commit, None)


def test_the_repository_of_the_source_counts_where_the_current_folder_has_none(workplace):
    (workplace / "project").mkdir()
    source = workplace / "project" / "system.py"
    source.write_text("pass\n")
    commit = commit_all("project")
    assert describe(["train"], seed=1, source=source).commit == commit


def test_a_machine_without_git_is_said(monkeypatch, workplace):
    monkeypatch.setenv("PATH", str(workplace))
    assert describe(["train"], seed=1, source=None).commit == "none (git is not installed)"


def test_a_git_that_takes_too_long_is_given_up(monkeypatch, workplace):
    slow = workplace / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "_SECONDS", 0.2)
    assert describe(["train"], seed=1, source=None).commit == "none (`git rev-parse` took more than 0.2 seconds)"


def test_a_system_in_a_package_keeps_the_package(workplace):
    folder = workplace / "mine"
    (folder / "configs").mkdir(parents=True)
    for name in ("__init__.py", "system.py", "model.py", "weights.bin", "configs/tiny.yaml"):
        (folder / name).write_text(name)
    files = describe(["train"], seed=1, source=folder / "system.py").files
    assert sorted(files) == ["code/__init__.py", "code/configs/tiny.yaml", "code/model.py", "code/system.py"]
    assert files["code/model.py"] == b"model.py"


def test_a_system_in_a_single_file_keeps_that_file(workplace):
    (workplace / "system.py").write_text("pass\n")
    (workplace / "other.py").write_text("pass\n")
    assert describe(["train"], seed=1, source=workplace / "system.py").files == {"code/system.py": b"pass\n"}


def test_a_huge_package_keeps_the_system_and_counts_the_rest(workplace, monkeypatch):
    for name in ("__init__.py", "a.py", "b.py", "system.py"):
        (workplace / name).write_text("x" * 10)
    monkeypatch.setattr(provenance, "_MOST_FILES", 2)
    found = describe(["train"], seed=1, source=workplace / "system.py")
    assert sorted(found.files) == ["code/__init__.py", "code/system.py"]
    assert found.document["source"]["left_out"] == 2
    monkeypatch.setattr(provenance, "_MOST_BYTES", 15)
    assert sorted(describe(["train"], seed=1, source=workplace / "system.py").files) == ["code/system.py"]


def test_a_source_that_is_no_file_keeps_nothing():
    assert describe(["train"], seed=1, source=Path("<stdin>")).files == {}


def test_the_document_is_plain_json_and_names_what_the_run_depends_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    document = json.loads(json.dumps(describe(["holdfast", "train", "tet"], seed=7, source=None).document))
    assert (document["command"], document["seed"]) == (["holdfast", "train", "tet"], 7)
    assert document["cwd"] == str(Path.cwd())
    assert document["packages"]["numpy"]
    assert document["python"] == sys.version
    assert (document["torch"], document["threads"]) == (None, "3")
    assert datetime.fromisoformat(document["started"]).tzinfo
