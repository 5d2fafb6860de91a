"""Command lines in processes of their own, forked from this warm one, and killed at a chosen moment."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # torch imports it with the first optimizer: once here, not in every fork
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from holdfast.checkpoint import archive
from holdfast.cli.main import run
from holdfast.engine import train as loop


def forked(words: list[str], *, prepare: Callable[[], None] = lambda: None) -> int:
    """Runs a command line in a forked process; gives its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            log = os.open("output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
            prepare()
            os._exit(run(words))
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests of its parent
            traceback.print_exc()
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def signal_after_step(step: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Gives what makes a process send itself a signal once it has done a step of the run."""

    def prepare() -> None:
        whole = loop.take_step

        def take_step(training, batch):
            whole(training, batch)
            if training.clock.step == step:
                os.kill(os.getpid(), number)

        loop.take_step = take_step

    return prepare


def digest(value: Any) -> str:
    """Gives a hash of everything in a nested state."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        sha.update(
            f"{value.dtype}{tuple(value.shape)}".encode()
            + value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    elif isinstance(value, dict):
        for key, item in value.items():
            sha.update(f"{key!r}:".encode())
            _feed(sha, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(sha, item)
    else:
        sha.update(f"{value!r},".encode())


def result(run_folder: Path, stage: str = "") -> dict[str, str]:
    """Gives what must be equal after any number of kills: each part of the last state, and the history."""
    checkpoints, logs = run_folder / "checkpoints" / stage, run_folder / "logs" / stage
    state = archive.read(checkpoints / "checkpoint_latest.pth")
    for name in ("timestamp", "metadata", "config"):
        state.pop(name)
    state["history"].pop("journal")
    parts = {name: digest(part) for name, part in state.items()}
    parts["best"] = digest(archive.read(checkpoints / "checkpoint_best.pth")["model_state_dict"])
    parts["weights_best"] = digest(torch.load(checkpoints / "weights_best.pth", weights_only=True))
    for name in ("metrics.jsonl", "metrics.csv"):
        parts[name] = hashlib.sha256((logs / name).read_bytes()).hexdigest()
    parts["curves"] = repr(curves(logs))
    parts["files"] = repr(sorted(path.name for path in checkpoints.glob("*.pth")))
    return parts


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Gives every scalar that TensorBoard reads from a folder."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
