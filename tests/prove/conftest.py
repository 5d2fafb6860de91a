import os
import runpy
import sys
import traceback
from types import SimpleNamespace

import pytest
import torch._dynamo  # noqa: F401 - torch imports it with the first optimizer: once here, not in every fork

from holdfast.cli.main import run
from holdfast.proof import sessions


def _run_in_fork(command, *, stdin, stdout, stderr, env, check):
    """Does what `subprocess.run` does with a Python command line, without the start of a Python."""
    child = os.fork()
    if child == 0:
        try:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            os.environ.clear()
            os.environ.update(env)
            # Those of pytest go elsewhere.
            sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1)
            os._exit(_run_words(command[1:]))
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests of its parent
            traceback.print_exc()
            os._exit(99)
    return SimpleNamespace(returncode=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run_words(words):
    if words[:2] == ["-m", "holdfast"]:
        return run(words[2:])
    runpy.run_path(words[0], run_name="__main__")
    return 0


@pytest.fixture
def forks(monkeypatch):
    """Children are forked from this warm process."""
    monkeypatch.setattr(sessions, "subprocess", SimpleNamespace(run=_run_in_fork, DEVNULL=None))
