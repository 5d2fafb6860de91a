"""What is said of a run, to the person who runs it and beside its files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast.checkpoint.store import Store
from holdfast.clock import Clock
from holdfast.config import Resolved
from holdfast.data.streams import StreamBatches
from holdfast.durable import make_folder, write_file
from holdfast.engine.training import Training
from holdfast.run.folder import RunFolder

Say = Callable[[str], None]
"""Prints one line."""


def print_line(text: str) -> None:
    """Prints a line; a terminal or pipe that has gone away must not stop a training."""
    with suppress(OSError):
        print(text, flush=True)


def introduction(folder: RunFolder, training: Training, resolved: Resolved) -> str:
    """Gives what a person should know at the start: size, data, device, folder."""
    count = sum(parameter.numel() for parameter in training.learner.model.parameters())
    held_out = training.evaluation.batches.num_samples if training.evaluation else 0
    stream = ""
    if isinstance(training.batches, StreamBatches) and not training.batches.is_exact:
        stream = (
            "\nnot exact: the training data is a stream that cannot say where it is, so a resumed run begins it anew; "
            "give the data set `state_dict` and `load_state_dict`, or __getitem__ and __len__"
        )
    what = f"{resolved.config.system}, stage {resolved.stage}" if resolved.stage else resolved.config.system
    return (
        f"{what}: {count:,} parameters, {training.batches.num_samples} training and {held_out} held-out samples, "
        f"on {training.device} in {training.learner.precision}\nrun: {folder.path}{stream}"
    )


def conclusion(folder: RunFolder, training: Training) -> str:
    """Gives what a training came to."""
    record, goal, clock = training.record, training.goal, training.clock
    best = ""
    if record.best_metric is not None:
        when = "before this run" if record.best_step is None else f"at step {record.best_step}"
        best = f"; best {goal.monitor} {record.best_metric:.6g} {when}"
    stage = f" stage {clock.stage}" if clock.stage != Clock().stage else ""
    return f"finished{stage}: {clock.epoch} epochs, {clock.step} steps{best}\n{folder.path}"


def how_to_extend(folder: RunFolder, training: Training) -> str:
    """Says that a run is complete, and how to make it longer."""
    plan = training.plan
    unit, total = ("epochs", plan.epochs) if plan.epochs is not None else ("steps", plan.total_steps)
    return (
        f"{folder.path} is complete: {total} of {total} {unit} are done; "
        f"to extend it: {resume_command(folder)} --{unit} {2 * (total or 1)}"
    )


def resume_command(folder: RunFolder) -> str:
    """Gives the command that goes on with a run, ready to be pasted into a shell."""
    path = folder.path
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"holdfast resume {shlex.quote(str(shown))}"


def last_good(store: Store, folder: RunFolder) -> str:
    """Says which checkpoint is good, and how to go on from it."""
    newest = store.latest()
    if newest is None:
        return f"there is no checkpoint yet; begin again with: {resume_command(folder)}"
    return f"the last good checkpoint is {newest}; go on from it with: {resume_command(folder)}"


def note_batch(place: Path, training: Training, message: str) -> None:
    """Writes the samples of the step that failed beside the checkpoints."""
    step = training.clock.step
    planned = training.batches.plan(step)
    indices = [index for microbatch in planned for index in microbatch.indices]
    make_folder(place)
    note = {"step": step + 1, "message": message, "epoch": training.clock.epoch + 1, "samples": indices}
    write_file(place / f"nonfinite_step{step + 1}.json", json_text(note))


def json_text(document: Any) -> str:
    """Gives a document as JSON for people to read."""
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
