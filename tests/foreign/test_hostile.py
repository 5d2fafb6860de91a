"""Files that run a command when they are trusted run nothing here: seen from outside of the reader."""

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import CheckpointError
from tests.faults import tracing
from tests.foreign.corpus import MODULE, attacks, seeds
from tests.foreign.watching import trusted, watched

MARKER = "it-has-run"
COMMAND = f"touch {MARKER}"
WATCHED_CALLS = (
    *("execve", "execveat", "fork", "vfork", "clone", "clone3", "socket", "connect", "bind", "sendto", "kill"),
    *("open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat"),
    *("symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "truncate", "ftruncate", "chmod", "fchmodat", "chdir"),
    *("access", "faccessat", "faccessat2"),
)


@pytest.fixture
def corpus(here):
    (here / f"{MODULE}.py").write_text(f"import os\nos.system({COMMAND!r})\n")
    found = attacks(COMMAND)
    paths = []
    for number, attack in enumerate(found):
        paths.append(here / f"{number:02} {attack.name.replace('/', ' ')}.pth")
        paths[-1].write_bytes(attack.data)
    return found, paths


def test_every_attack_works_on_a_loader_that_trusts_it(here, corpus, capfd):
    asleep = []
    for attack in corpus[0]:
        trusted(attack, here)
        if not (here / MARKER).exists():
            asleep.append(attack.name)
        (here / MARKER).unlink(missing_ok=True)
    assert asleep == []


def test_no_attack_does_anything_that_the_system_could_notice(here, corpus, monkeypatch):
    _, paths = corpus
    monkeypatch.syspath_prepend(str(here))
    before = sorted(os.listdir(here))
    result = watched(paths)
    assert [outcome.heard for outcome in result.outcomes if outcome.heard] == []
    assert [outcome for outcome in result.outcomes if outcome.error.startswith("unexpected")] == []
    assert sorted(os.listdir(here)) == before
    assert max(outcome.seconds for outcome in result.outcomes) < 5 and result.grown < 100 << 20


def test_what_is_refused_is_refused_in_one_clear_line(corpus):
    _, paths = corpus
    refused = [outcome for outcome in watched(paths).outcomes if outcome.error]
    assert len(refused) > 10
    for outcome in refused:
        assert outcome.error in ("UnsafeFile", "UnreadableFile")
        assert re.fullmatch(
            r"`.*` must be a checkpoint that can be read without running it, but .*; .*\.", outcome.message
        )
        assert "\n" not in outcome.message


def test_what_is_opened_names_the_function_that_was_to_be_called(corpus):
    named = set()
    for attack, path in zip(*corpus, strict=True):
        with suppress(CheckpointError):
            opened = open_file(path)
            assert opened.opaque, attack.name
            named.update(opened.opaque)
    assert {"os.system", "posix.system", "__builtin__.eval", "argparse._os.system", f"{MODULE}.anything"} <= named


def test_the_kernel_saw_nothing_but_the_opening_of_the_files(here, corpus, monkeypatch):
    if reason := tracing.reason_against(here):
        pytest.skip(reason)
    _, paths = corpus
    open_file(_harmless(here))
    monkeypatch.setattr(tracing, "CALLS", WATCHED_CALLS)

    def act():
        tracing.say_saved()
        for path in paths:
            with suppress(CheckpointError):
                open_file(path)
        tracing.say_saved()

    code, calls = tracing.traced(act, here / "trace")
    marks = [number for number, call in enumerate(calls) if call.paths == ["/is-saved"]]
    between = calls[marks[0] + 1 : marks[1]]
    assert code == 0 and len(between) == len(paths)
    for call, path in zip(between, paths, strict=True):
        assert call.name == "openat" and call.paths == [str(path)] and "O_RDONLY" in call.arguments
        assert not re.search("O_CREAT|O_WRONLY|O_RDWR|O_TRUNC", call.arguments)


def _harmless(folder: Path) -> Path:
    path = folder / "harmless.pth"
    path.write_bytes(seeds()["zip"])
    return path


@pytest.mark.parametrize("name", seeds())
def test_a_file_that_is_cut_off_anywhere_is_refused_in_one_line(here, name):
    whole = seeds()[name]
    every = 1 if len(whole) < 600 else 7
    paths = []
    for length in range(1, len(whole), every):
        paths.append(here / f"{length}.pth")
        paths[-1].write_bytes(whole[:length])
    for outcome in watched(paths).outcomes:
        assert outcome.error in ("UnsafeFile", "UnreadableFile"), outcome
        assert "\n" not in outcome.message and outcome.heard == []
