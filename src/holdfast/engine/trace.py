"""What each step used and came to, as one line of short hashes, for whoever compares two trainings step by step.

`holdfast prove` asks its child processes for it by environment variables; without them nothing here costs anything.

    HOLDFAST_TRACE=FILE              a line is added to the file for each step, and one where a session begins
    HOLDFAST_KILL_AFTER_STEP=N       the process kills itself once it has done step N, before that step is saved
    HOLDFAST_PROVE_ROOT=FOLDER       a loop of one's own has its run folder below this one
    HOLDFAST_PROVE_SAVE_INTERVAL=X   a loop of one's own saves at this interval

A line is a JSON object. Its keys stand in the order in which a step comes to be: the first that differs between two
trainings is the cause, and what follows is its effect.

    {"step": 6, "begins": true, "weights": ..., "parts": {"optimizer": ...}}
    {"step": 7, "order": ..., "batch": {"0": ...}, "loss": ..., "rate": ..., "weights": ..., "parts": {...}}

What a loop of one's own changes between its step and its next batch (a scheduler, an average) is noted a step later, so
a part that differs where a session begins has not been restored only if it still differs after the next step.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from holdfast.checkpoint.compare import digest
from holdfast.data.batches import StepBatch
from holdfast.engine.training import Training
from holdfast.run.observer import StepReport

FILE = "HOLDFAST_TRACE"
KILL_AFTER_STEP = "HOLDFAST_KILL_AFTER_STEP"
ROOT = "HOLDFAST_PROVE_ROOT"
SAVE_INTERVAL = "HOLDFAST_PROVE_SAVE_INTERVAL"

Line = dict[str, Any]
Taking = Callable[[Training, StepBatch], StepReport]

_HASH_BYTES = 8


class Trace:
    """The trace of one process: like a journal whose rows are hashes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, *, step: int, model: nn.Module, parts: Mapping[str, Any] | None = None) -> None:
        """Notes the state from which this process goes on.

        Args:
            step: How many steps are done.
            model: What learns, restored.
            parts: Whatever else has a state, by name, restored: the optimizer, averages, a scheduler.
        """
        self._write({"step": step, "begins": True, "weights": _weights(model), "parts": _hashes(parts)})

    def step(
        self,
        *,
        step: int,
        indices: Sequence[int] | None,
        batch: Any,
        loss: float | Tensor,
        model: nn.Module,
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        """Notes a step that has just been done.

        Args:
            step: How many steps are done, this one included.
            indices: The numbers of its samples in their order; None when nobody knows them.
            batch: What the samples became.
            loss: What the model made of it.
            model: What learns, after the step.
            parts: Whatever else has a state, by name, after the step.
        """
        line: Line = {"step": step}
        if indices is not None:
            line["order"] = _hash(list(indices))
        line["batch"] = {name: _hash(part) for name, part in _named(batch).items()}
        line["loss"] = float(loss).hex()
        line["rate"] = _hash([_rates(part) for part in (parts or {}).values()])
        self._write({**line, "weights": _weights(model), "parts": _hashes(parts)})

    def _write(self, line: Line) -> None:
        # Closed at once: what is written has left the process when it is killed.
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def open_trace() -> Trace | None:
    """Gives the trace that the environment asks for; None when it asks for none."""
    path = os.environ.get(FILE)
    return Trace(Path(path)) if path else None


def read_trace(path: Path) -> list[Line]:
    """Gives the lines of a trace, in the order of writing; none of a missing file."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def kill_after_step(step: int) -> None:
    """Kills this process at once, with SIGKILL, when the environment asks for it after this step."""
    if os.environ.get(KILL_AFTER_STEP) == str(step):
        os.kill(os.getpid(), signal.SIGKILL)


def traced(take_step: Taking, training: Training) -> Taking:
    """Gives `take_step` itself, or where the environment asks for it one that leaves a trace and ends at a step."""
    trace = open_trace()
    if trace is None and KILL_AFTER_STEP not in os.environ:
        return take_step
    model = training.learner.model
    if trace:
        trace.begin(step=training.clock.step, model=model, parts=_parts(training))

    def take(training: Training, batch: StepBatch) -> StepReport:
        planned = training.batches.plan(training.clock.step)
        report = take_step(training, batch)
        step = report.clock.step
        if trace:
            # A stream plans nothing: what it gives is known only as a batch.
            indices = [index for microbatch in planned for index in microbatch.indices] or None
            joined = _joined(batch.microbatches)
            trace.step(step=step, indices=indices, batch=joined, loss=report.loss, model=model, parts=_parts(training))
        kill_after_step(step)
        return report

    return take


def _parts(training: Training) -> dict[str, Any]:
    learner = training.learner
    parts = {"optimizer": learner.optimizer, "scaler": learner.precision.scaler, "averaged weights": learner.average}
    return {name: part for name, part in parts.items() if part is not None}


def _joined(microbatches: Sequence[Any]) -> Any:
    """Gives the parts of a step's batch, each with those of all microbatches."""
    named = [_named(microbatch) for microbatch in microbatches]
    return {name: [parts.get(name) for parts in named] for name in named[0]} if named else []


def _named(batch: Any) -> dict[str, Any]:
    if isinstance(batch, Mapping):
        return {str(key): part for key, part in batch.items()}
    if isinstance(batch, list | tuple):
        return {str(number): part for number, part in enumerate(batch)}
    return {"whole": batch}


def _weights(model: nn.Module) -> str:
    """Gives the hash of all parameters and buffers, those that no state dict holds included."""
    return _hash({**dict(model.named_parameters()), **dict(model.named_buffers())})


def _hashes(parts: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: _hash(_state(part)) for name, part in (parts or {}).items()}


def _state(part: Any) -> Any:
    if isinstance(part, Optimizer):
        # Its rates are set anew before each step and noted by themselves.
        return part.state_dict()["state"]
    return part.state_dict() if hasattr(part, "state_dict") else part


def _rates(part: Any) -> list[float]:
    return [float(group["lr"]) for group in part.param_groups] if isinstance(part, Optimizer) else []


def _hash(value: Any) -> str:
    return digest(value, size=_HASH_BYTES)
