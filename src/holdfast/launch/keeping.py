"""The folders of checkpoints of a run, each with what the run's configuration says is kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.engine.opening import keep_in
from holdfast.run.folder import RunFolder


def stores_of(folder: RunFolder) -> list[Store]:
    """Gives the folders of checkpoints of a run, one for each stage that has saved, with the run's own rules."""
    values = folder.config_values()
    places = [folder.path / "checkpoints", *sorted((folder.path / "checkpoints").glob("*/"))]
    return [Store(place, keep_of(values)) for place in places if any(place.glob("checkpoint_*.pth"))]


def keep_of(values: Mapping[str, Any]) -> Keep:
    """Gives what a configuration says about which checkpoints are kept."""
    if "own_loop" in values:
        return keep_in(values)
    training = values["training"]
    return Keep(
        last=training["keep_last_n"],
        best=training.get("keep_best_k", 0),
        mode=training["mode"],
        every=training.get("keep_every"),
        milestones=frozenset(training["milestones"]),
        unit="steps" if training["steps"] is not None else "epochs",
    )
