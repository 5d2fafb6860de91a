"""How far a loop of one's own is, and its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import torch

from holdfast import randomness
from holdfast.clock import Clock
from holdfast.engine.own_stream import Streamed
from holdfast.engine.state import VERSION, platform_facts
from holdfast.engine.system import device_of
from holdfast.engine.tracked import Tracked
from holdfast.engine.training import Goal, Plan, Record, SavePlan
from holdfast.engine.update import Tally
from holdfast.errors import CheckpointMismatch


@dataclass
class OwnProgress:
    """How far a loop is. What is counted of the epoch in progress begins anew with each epoch."""

    goal: Goal
    save_plan: SavePlan
    plan: Plan = field(default_factory=lambda: Plan(steps_per_epoch=0, epochs=0, steps=None))
    clock: Clock = field(default_factory=Clock)
    record: Record = field(default_factory=Record)
    batches_done: int = 0
    """Batches of the epoch in progress that steps have used."""
    recorded: dict[str, float] = field(default_factory=dict)
    """What was recorded in the epoch in progress, by the name on the curves."""
    data: dict[str, Any] | None = None
    """What the order of the samples depends on; None while the loop has not asked for batches."""
    stream: Streamed | None = None
    """The stream that is read; None while the loop has not asked for the batches of one."""
    place: dict[str, Any] | None = None
    """Where the stream was when the state was saved that this process goes on from."""
    stopped_at: int | None = None
    """How many epochs were planned when the loop asked to stop."""

    @property
    def is_over(self) -> bool:
        """Whether every epoch is done, or the loop has asked to stop."""
        total = self.plan.epochs or 0
        return self.clock.epoch >= total or (self.stopped_at is not None and total <= self.stopped_at)


def capture(
    progress: OwnProgress, tracked: Tracked, *, config: Mapping[str, Any], journal: Mapping[str, Any]
) -> dict[str, Any]:
    """Gives everything that going on exactly needs, as it is now; tensors are the live ones."""
    record = progress.record
    return {
        "version": VERSION,
        **progress.clock.as_dict(),
        **tracked.state_dicts(),
        "rng_state": randomness.capture(),
        "data_state": {
            "batches_done": progress.batches_done,
            "order": progress.data,
            "stream": progress.place if progress.stream is None else progress.stream.state_dict(),
        },
        "metric": record.metric,
        "best_metric": record.best_metric,
        "best_step": record.best_step,
        "metrics": dict(record.metrics),
        "history": {
            "closed_at": record.closed_at,
            "rate": record.rate,
            "tally": {
                "weight": record.tally.weight,
                "total": record.tally.total,
                "parts": dict(record.tally.parts),
            },
            "recorded": dict(progress.recorded),
            "stopped_at": progress.stopped_at,
            "journal": dict(journal),
        },
        "config": dict(config),
        "metadata": {
            "system": "own_loop",
            "stage": progress.clock.stage,
            "world_size": 1,
            "tracked": tracked.kinds(),
            "versions": tracked.versions(),
            "threads": torch.get_num_threads(),
            **platform_facts(device_of(tracked.model())),
            "pid": os.getpid(),
        },
        "timestamp": datetime.now().isoformat(timespec="seconds"),
    }


def restore(progress: OwnProgress, state: Mapping[str, Any]) -> None:
    """Puts everything but the tracked parts back as a checkpoint has it.

    Raises:
        CheckpointMismatch: When the checkpoint is not that of a loop of one's own.
    """
    if state.get("version") != VERSION or "tracked" not in state["metadata"]:
        raise CheckpointMismatch(
            f"the checkpoint must be one of a loop of your own in version {VERSION}, but got version "
            f"{state.get('version')!r} of {state['metadata'].get('system') or 'such a loop'}; "
            "use what wrote it, or begin a new run."
        )
    history = state["history"]
    tally = Tally()
    tally.weight, tally.total = history["tally"]["weight"], history["tally"]["total"]
    tally.parts = dict(history["tally"]["parts"])
    progress.clock = Clock(**{name: state[name] for name in ("stage", "epoch", "step", "samples")})
    progress.record = Record(
        metric=state["metric"],
        best_metric=state["best_metric"],
        best_step=state["best_step"],
        metrics=dict(state["metrics"]),
        closed_at=history["closed_at"],
        tally=tally,
        rate=history["rate"],
    )
    progress.batches_done = state["data_state"]["batches_done"]
    progress.data = state["data_state"]["order"]
    progress.place = state["data_state"].get("stream")
    progress.recorded = dict(history["recorded"])
    progress.stopped_at = history["stopped_at"]
