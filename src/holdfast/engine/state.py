"""The state of a training as a dictionary of plain values and tensors, and back: part by part, by name.

Nothing is restored in part. A part that is missing, unexpected or of another shape stops a resume with its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from holdfast import randomness
from holdfast.checkpoint.fit import check_fit, check_optimizer_fit, versions_of, with_versions
from holdfast.clock import Clock
from holdfast.data.order import ORDER_VERSION
from holdfast.engine.training import Record, Training
from holdfast.engine.update import Tally
from holdfast.errors import CheckpointMismatch, NonFiniteLoss

VERSION = 1


def capture(
    training: Training, *, config: Mapping[str, Any], journal: Mapping[str, Any], with_optimizer: bool
) -> dict[str, Any]:
    """Gives everything that going on exactly needs, as it is now; tensors are the live ones.

    Args:
        training: What is captured.
        config: The resolved configuration, as plain values.
        journal: Where the curves end, as the journal gives it.
        with_optimizer: Whether the optimizer's state is part of it.

    Raises:
        NonFiniteLoss: When a weight is infinite or not a number.
    """
    learner, record = training.learner, training.record
    _refuse_not_finite(training)
    weights = learner.model.state_dict()
    state = {
        "version": VERSION,
        **training.clock.as_dict(),
        "model_state_dict": weights,
        "model_versions": versions_of(weights),
        "scheduler_state_dict": {"base_rates": list(learner.base_rates), "rate": record.rate},
        "scaler_state_dict": learner.precision.scaler.state_dict() if learner.precision.scaler else None,
        "ema_state_dict": learner.average.state_dict() if learner.average else None,
        "rng_state": randomness.capture(),
        "data_state": {**_data_state(training), **training.batches.state_dict()},
        "metric": record.metric,
        "best_metric": record.best_metric,
        "best_step": record.best_step,
        "metrics": dict(record.metrics),
        "history": {
            "closed_at": record.closed_at,
            "since_best": record.since_best,
            "tally": {
                "weight": record.tally.weight,
                "total": record.tally.total,
                "parts": dict(record.tally.parts),
            },
            "journal": dict(journal),
        },
        "config": dict(config),
        "metadata": {
            "system": config.get("system"),
            "stage": training.clock.stage,
            "world_size": 1,
            "threads": torch.get_num_threads(),
            **platform_facts(learner.device),
            "pid": os.getpid(),
        },
        "timestamp": datetime.now().isoformat(timespec="seconds"),
    }
    if with_optimizer:
        state["optimizer_state_dict"] = learner.optimizer.state_dict()
    return state


def _refuse_not_finite(training: Training) -> None:
    """Makes sure that no state is saved as good whose weights are not: without clipping no step looks at gradients."""
    weights = training.learner.parameters
    if weights and not bool(torch.isfinite(nn.utils.get_total_norm(weights, float("inf")))):
        raise NonFiniteLoss(
            f"the weights after step {training.clock.step} must be finite, but some are not: a gradient was infinite "
            "or not a number; try a lower `training.lr` or set `training.clip`"
        )


def platform_facts(device: torch.device) -> dict[str, str]:
    """Gives what of the platform decides on bits: another one of these may round in another way."""
    facts = {
        "torch": str(torch.__version__),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    if device.type == "cuda":
        facts["cudnn"] = str(torch.backends.cudnn.version())
        facts["cudnn_benchmark"] = str(torch.backends.cudnn.benchmark)
    return facts


def restore(training: Training, state: Mapping[str, Any]) -> bool:
    """Puts a captured state back into a training, and says whether the optimizer's was among it.

    Raises:
        CheckpointMismatch: When a part does not fit; the training is then not to be used.
    """
    _check_version(state)
    _check_data(_data_state(training), state["data_state"])
    check_fit("model_state_dict", training.learner.model.state_dict(), state["model_state_dict"])
    training.learner.model.load_state_dict(with_versions(state["model_state_dict"], state.get("model_versions")))
    has_optimizer = "optimizer_state_dict" in state
    if has_optimizer:
        _restore_optimizer(training.learner.optimizer, state["optimizer_state_dict"])
    training.batches.load_state_dict(state["data_state"])
    _restore_part("scaler_state_dict", training.learner.precision.scaler, state)
    _restore_part("ema_state_dict", training.learner.average, state)
    training.clock = Clock(**{name: state[name] for name in ("stage", "epoch", "step", "samples")})
    training.record = _record(state)
    randomness.restore(state["rng_state"])
    return has_optimizer


def _restore_part(name: str, part: Any, state: Mapping[str, Any]) -> None:
    """Restores a part that a run has only with some settings: the run and its checkpoint must agree."""
    saved = state[name]
    if (part is None) != (saved is None):
        have, lack = ("the run", "the checkpoint") if saved is None else ("the checkpoint", "the run")
        raise CheckpointMismatch(
            f"`{name}` must be in both or in neither, but {have} has it and {lack} has not; "
            "use the configuration that it was saved with."
        )
    if part is not None:
        part.load_state_dict(saved)


def _data_state(training: Training) -> dict[str, int]:
    return {"order_version": ORDER_VERSION, "length": training.batches.num_samples}


def _check_version(state: Mapping[str, Any]) -> None:
    if state.get("version") != VERSION:
        raise CheckpointMismatch(
            f"`version` of the checkpoint must be {VERSION}, but got {state.get('version')!r}; "
            "use the release of Holdfast that wrote it."
        )


def _check_data(ours: Mapping[str, int], theirs: Mapping[str, Any]) -> None:
    if ours["length"] != theirs["length"]:
        raise CheckpointMismatch(
            f"the training data must have the {theirs['length']} samples that the run began with, but got "
            f"{ours['length']}; bring back the same data, or start a new run with --init-from."
        )
    if ours["order_version"] != theirs["order_version"]:
        raise CheckpointMismatch(
            f"`order_version` of the data must be {ours['order_version']}, but got {theirs['order_version']}; "
            "use the release of Holdfast that wrote it."
        )


def _restore_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restores the moments, and keeps the settings of the configuration; each step sets its own rate."""
    check_optimizer_fit("optimizer_state_dict", optimizer, state)
    configured = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(state))
    for group, settings in zip(optimizer.param_groups, configured, strict=True):
        group.update(settings)


def _record(state: Mapping[str, Any]) -> Record:
    history = state["history"]
    tally = Tally()
    tally.weight, tally.total = history["tally"]["weight"], history["tally"]["total"]
    tally.parts = dict(history["tally"]["parts"])
    return Record(
        metric=state["metric"],
        best_metric=state["best_metric"],
        best_step=state["best_step"],
        metrics=dict(state["metrics"]),
        closed_at=history["closed_at"],
        since_best=history["since_best"],
        tally=tally,
        rate=state["scheduler_state_dict"]["rate"],
    )
