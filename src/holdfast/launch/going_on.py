"""What is asked and checked before a run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from holdfast.config import Layer, Resolved, plain_layer, refuse_changes, resolve
from holdfast.engine.state import platform_facts, restore
from holdfast.engine.system import System
from holdfast.engine.training import Training
from holdfast.errors import (
    CheckpointMismatch,
    UserError,
)
from holdfast.launch.telling import Say


def restore_into(training: Training, path: Path, state: Mapping[str, Any], say: Say) -> None:
    """Puts a checkpoint back into a training, and says what it holds and where it goes on."""
    try:
        has_optimizer = restore(training, state)
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"{path}: {error}") from error
    if not has_optimizer:
        rate = training.learner.base_rates[0]
        say(
            f"{path.name} has no optimizer state: weights, counters and the best are restored, "
            f"the optimizer starts anew at rate {rate:g}; expect an unsteady first epoch (another rate: --lr)"
        )
    clock = training.clock
    say(f"going on from {path} (epoch {clock.epoch}, step {clock.step})")


def resolve_again(
    system: System, values: Mapping[str, Any], layers: Sequence[Layer], options: Layer, say: Say
) -> Resolved:
    """Resolves a run's own configuration with the options of this session over it."""
    stored = [plain_layer(values, "checkpoint")]
    resolved = resolve(system.config, [*stored, *layers], overrides=options)
    # Compared as this release reads both: a key that the run does not know yet has its default.
    for key, old, new in refuse_changes(resolve(system.config, stored).values, resolved.values):
        if key.startswith("run."):
            say(f"{key} is left at {old}: a run stays where it is (to rename it, move its folder)")
        else:
            say(f"changed: {key} from {old} to {new}")
    return without_request(replace(resolved, values={**resolved.values, "run": dict(values["run"])}))


def resolve_anew(
    system: System, values: Mapping[str, Any], layers: Sequence[Layer], options: Layer, say: Say
) -> Resolved:
    """Resolves a configuration that came with a file, for a new run that goes on from it; where it goes is new."""
    stored = [plain_layer({key: value for key, value in values.items() if key != "run"}, "checkpoint")]
    resolved = resolve(system.config, [*stored, *layers], overrides=options)
    for key, old, new in refuse_changes(resolve(system.config, stored).values, resolved.values):
        if not key.startswith("run."):
            say(f"changed: {key} from {old} to {new}")
    return without_request(resolved)


def old_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the setting that keeps the schedule of a run at the length that it has."""
    training = values["training"]
    length = training.get("schedule_length") or training["steps"] or training["epochs"]
    return {"training": {"schedule_length": length}}


def is_complete(state: Mapping[str, Any]) -> bool:
    """Says whether a checkpoint is the end of its stage, by the length that the stage had."""
    training, history = state["config"]["training"], state["history"]
    epochs, steps, patience = training["epochs"], training["steps"], training["early_stop"]
    is_done = state["epoch"] >= epochs if steps is None else state["step"] >= steps
    is_stopped = patience is not None and history["since_best"] >= patience
    return (is_done or is_stopped) and history["closed_at"] == state["step"]


def check_stage(stage: str, values: Mapping[str, Any]) -> None:
    """Refuses a stage that the run does not have."""
    known = [one["name"] for one in values.get("stages") or []] or ["train"]
    if stage not in known:
        raise UserError(f"`stage` must be one of this run's ({', '.join(known)}), but got {stage!r}; name one of them.")


def refuse_less(training: Training) -> None:
    """Refuses a length that is shorter than what is done."""
    plan, clock = training.plan, training.clock
    if clock.step > plan.total_steps:
        unit, done, wanted = ("epochs", clock.epoch, plan.epochs) if plan.epochs else ("steps", clock.step, plan.steps)
        raise UserError(
            f"`training.{unit}` must be at least the {done} that are done, but got {wanted}; "
            "to go on from an earlier state resume an older checkpoint."
        )


def forget_another_best(values: Mapping[str, Any], resolved: Resolved, training: Training, say: Say) -> None:
    """Begins the best anew when it is judged by another metric than before."""
    before = (values["training"]["monitor"].lower(), values["training"]["mode"])
    if before != (training.goal.monitor.lower(), training.goal.mode):
        record = training.record
        record.best_metric, record.best_step, record.since_best = None, None, 0
        say(f"the best is looked for anew, by {training.goal.monitor} ({training.goal.mode})")


def compare_platform(state: Mapping[str, Any], training: Training, say: Say) -> None:
    """Says in one line what has changed that may round otherwise."""
    before, now = state["metadata"], platform_facts(training.device)
    changed = [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]
    if changed:
        say(f"not exact from here on: another platform may round otherwise ({', '.join(changed)})")


def apply_threads(threads: int | None, say: Say) -> None:
    """Uses as many threads as the run did: the order of sums, and so their bits, depend on it."""
    if threads is not None and threads != torch.get_num_threads():
        say(f"using {threads} threads as the run did, instead of {torch.get_num_threads()}: its bits depend on it")
        torch.set_num_threads(threads)


def without_request(resolved: Resolved) -> Resolved:
    """Gives the configuration without the wish to resume, which is not one of the run's settings."""
    training = {**resolved.values["training"], "resume": None}
    return replace(resolved, values={**resolved.values, "training": training})
