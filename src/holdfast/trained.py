"""A trained run, for evaluation and prediction: touches nothing in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from holdfast.assembly import build_data, build_evaluation, build_model
from holdfast.checkpoint import archive
from holdfast.checkpoint.fit import check_fit, with_versions
from holdfast.config import Layer, changes, plain_layer, resolve
from holdfast.engine.device import choose_device
from holdfast.engine.evaluate import evaluate as evaluate_model
from holdfast.engine.system import System
from holdfast.errors import ConfigError, RunError


@dataclass(frozen=True)
class TrainedRun:
    """A trained model with what it was trained by."""

    system: System
    config: Any
    model: nn.Module
    epoch: int
    step: int
    metrics: dict[str, float]
    checkpoint: Path
    stage: str
    data_state: dict[str, Any]
    """Where its data was, and how it was divided."""


def load_trained(path: Path, *, load_system: Callable[[str], System], options: Callable[[System], Layer]) -> TrainedRun:
    """Gives the model of a checkpoint, with averaged weights where there are some; touches nothing in the folder."""
    state = archive.read(path)
    if "config" not in state:
        raise RunError(
            f"`{path}` must be a checkpoint with its configuration, but got bare weights; name the run instead."
        )
    values = state["config"]
    if "own_loop" in values:
        raise RunError(
            f"`{path}` must be of a run whose system can build the model, but got one of a loop of its own, which "
            "tracked it by run.track; build the model yourself, then holdfast.load_checkpoint(path, model)."
        )
    system = load_system(str(values.get("system")))
    stored = [plain_layer(values, "checkpoint")]
    resolved = resolve(system.config, stored, overrides=options(system))
    _refuse_another_network(resolve(system.config, stored).values, resolved.values)
    device = choose_device(resolved.config.device)
    model = build_model(system, resolved.config, device)
    part = state["ema_state_dict"] or state
    check_fit(str(path), model.state_dict(), part["model_state_dict"])
    model.load_state_dict(with_versions(part["model_state_dict"], part.get("model_versions")))
    model.eval()
    return TrainedRun(
        system=system,
        config=resolved.config,
        model=model,
        epoch=state["epoch"],
        step=state["step"],
        metrics=dict(state["metrics"]),
        checkpoint=path,
        stage=state["stage"],
        data_state=dict(state.get("data_state") or {}),
    )


def evaluate(trained: TrainedRun) -> dict[str, float]:
    """Gives the loss and the metrics of a trained model on the held-out data, named like `val/F1`."""
    device = choose_device(trained.config.device)
    data = build_data(trained.system, trained.config)
    split = trained.data_state.get("split")
    if split is not None and data.split is not None and data.split.fits(split):
        data.split.load_state_dict(split)
    evaluation = build_evaluation(trained.system, trained.config, data, device, stage=trained.stage)
    if evaluation is None:
        raise ConfigError(
            f"the system `{trained.system.name}` must have validation data to be evaluated, but has none; "
            "give its `data` function a `val` part."
        )
    return {f"val/{name}": value for name, value in evaluate_model(evaluation, trained.model).values.items()}


def _refuse_another_network(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Lets everything be otherwise than in training but what the weights belong to."""
    found = [change for change in changes(old, new).refused if change.key.startswith("model.")]
    if found:
        raise ConfigError(
            *(f"`{change.key}` must stay {change.old!r} for these weights, but got {change.new!r}" for change in found)
        )
