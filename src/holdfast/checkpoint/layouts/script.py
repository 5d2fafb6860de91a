"""What training scripts without a library save: a dictionary with the state dicts, counters and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from holdfast.checkpoint.layouts.layout import PARTS, WEIGHTS, Translated
from holdfast.checkpoint.layouts.parts import count, generators, is_optimizer, number, weights_in
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation

MODEL = ("model_state_dict", "state_dict", "model", "net", "network", "model_state", "net_state_dict", "weights")
OPTIMIZER = ("optimizer_state_dict", "optimizer", "optim", "optimizer_state", "optim_state_dict", "opt_state_dict")
SCHEDULER = ("scheduler_state_dict", "scheduler", "lr_scheduler", "sched", "lr_scheduler_state_dict", "lr_sched")
SCALER = ("scaler_state_dict", "scaler", "amp_scaler", "grad_scaler", "grad_scaler_state_dict")
AVERAGE = ("ema_state_dict", "ema", "model_ema", "state_dict_ema", "ema_model", "ema_model_state_dict", "swa_model")
CONFIG = ("config", "args", "opt", "cfg", "options", "hparams", "train_args", "hyper_parameters", "model_args")
STEP = ("step", "global_step", "iteration", "iter", "iter_num", "iters", "it", "num_updates", "steps")
DONE = ("epochs_done", "completed_epochs", "finished_epochs", "next_epoch", "start_epoch")
"""Names of counters that say by themselves how many epochs are done."""
BEST = (
    "best_metric",
    "best_acc1",
    "best_acc",
    "best_prec1",
    "best_score",
    "best_val_loss",
    "best_loss",
    "best_fitness",
)
SCORES = ("loss", "val_loss", "train_loss", "acc", "accuracy", "val_acc", "val_accuracy", "acc1", "acc5", "miou", "map")
TIMM = "state_dict_ema", "amp_scaler", "arch"


class PlainScript:
    """A dictionary with a network's state dict under one of its usual names.

    Each script is a layout of its own: what is not there was never there, and starts anew.
    """

    name = "plain script"

    def recognises(self, source: Source) -> bool:
        """Says whether one of the usual names holds weights."""
        return _first(source.keys, MODEL, lambda value: weights_in(value) is not None) is not None

    def translate(self, source: Source) -> Translated:
        """Gives what is there under usual names, and lists what is not taken."""
        keys = source.keys
        translation = Translation(self.name, source)
        taken = [*_take_states(translation, keys), *_take_counters(translation, keys)]
        taken += _take_scores(translation, keys)
        config = {name: keys[name] for name in CONFIG if name in keys}
        translation.put_config(config)
        taken += [*config, *_take_generators(translation, keys)]
        translation.leave_rest(taken)
        return translation.done(part for part in PARTS if part != WEIGHTS)


def _take_states(translation: Translation, keys: Mapping[str, Any]) -> list[str]:
    """Takes the state dicts, and gives their names."""
    model = _first(keys, MODEL, lambda value: weights_in(value) is not None) or ""
    translation.put_weights(weights_in(keys[model]) or {}, model)
    taken = [model]
    if name := _first(keys, OPTIMIZER, is_optimizer):
        translation.put_optimizer(keys[name], name)
        taken.append(name)
    for part, names in {"scheduler_state_dict": SCHEDULER, "scaler_state_dict": SCALER}.items():
        if name := _first(keys, names, lambda value: isinstance(value, Mapping)):
            translation.put(part, keys[name], name)
            taken.append(name)
    if name := _first(keys, AVERAGE, lambda value: _average_in(value) is not None):
        weights, updates = _average_in(keys[name]) or ({}, None)
        translation.put_average(weights, updates, name)
        taken.append(name)
    return taken


def _average_in(value: Any) -> tuple[dict[str, Tensor], int | None] | None:
    """Gives averaged weights, and of how many states; also as PyTorch's `AveragedModel` and our own runs have them."""
    if isinstance(value, Mapping) and weights_in(value.get(WEIGHTS)) is not None:
        return weights_in(value[WEIGHTS]) or {}, count(value.get("updates"))
    weights = weights_in(value)
    if weights is None:
        return None
    updates = count(weights.pop("n_averaged", None))
    return (weights, updates) if weights else None


def _take_counters(translation: Translation, keys: Mapping[str, Any]) -> list[str]:
    """Takes how much is done, and gives the names that said so."""
    taken = []
    if name := _first(keys, DONE, lambda value: count(value) is not None):
        translation.state["epoch"] = count(keys[name])
        taken.append(name)
    elif (epoch := _epoch_number(keys.get("epoch"))) is not None:
        is_done = _counts_done(keys)
        translation.state["epoch"] = epoch if is_done else epoch + 1
        meaning = "the number of finished epochs" if is_done else "the last finished one, counted from 0"
        translation.note(f"`epoch` {epoch} is read as {meaning}; if the script meant it otherwise, say so by --epoch")
        taken.append("epoch")
    if name := _first(keys, STEP, lambda value: count(value) is not None):
        steps, counted = count(keys[name]), translation.state.get("step")
        if counted is not None and counted != steps:
            translation.note(f"`{name}` says {steps}, the optimizer has counted {counted} steps: `{name}` is taken")
        translation.state["step"] = steps
        taken.append(name)
    return taken


def _epoch_number(value: Any) -> int | None:
    """Gives a number of an epoch; -1 is what some write before the first or after the last."""
    return -1 if number(value) == -1 else count(value)


def _counts_done(keys: Mapping[str, Any]) -> bool:
    """Says whether `epoch` is the number of finished epochs, as in PyTorch's ImageNet example and what came of it.

    The scripts of most others (the tutorials, torchvision, DETR, timm since its version 2) write the index of the
    epoch that has just finished.
    """
    is_timm = any(name in keys for name in TIMM) and count(keys.get("version")) not in (None, 0, 1)
    return (
        "state_dict" in keys and not is_timm and any(name in keys for name in ("best_acc1", "best_prec1", "best_acc"))
    )


def _take_scores(translation: Translation, keys: Mapping[str, Any]) -> list[str]:
    """Takes metrics, and gives their names."""
    taken = []
    if name := _first(keys, BEST, lambda value: number(value) is not None):
        translation.state["best_metric"] = float(number(keys[name]) or 0)
        taken.append(name)
    if number(keys.get("metric")) is not None:
        translation.state["metric"] = float(number(keys["metric"]) or 0)
        taken.append("metric")
    scores = {name: float(number(keys[name]) or 0) for name in SCORES if number(keys.get(name)) is not None}
    metrics = keys.get("metrics")
    if isinstance(metrics, Mapping):
        known = {str(name): number(value) for name, value in metrics.items()}
        scores |= {name: float(value) for name, value in known.items() if value is not None}
        taken.append("metrics")
    if scores:
        translation.state["metrics"] = scores
    return [*taken, *scores]


def _take_generators(translation: Translation, keys: Mapping[str, Any]) -> list[str]:
    """Takes the states of the generators, when those of Python, NumPy and PyTorch are all there; gives their names."""
    for name in ("rng_state", "rng_states", "rng", "random_state"):
        inner = keys.get(name)
        if isinstance(inner, Mapping):
            of_torch = inner.get("torch", inner.get("cpu"))
            found = generators(inner.get("python"), inner.get("numpy"), of_torch, inner.get("cuda"))
            if found:
                translation.put("rng_state", found, name)
                return [name]
    names = ("python_rng_state", "numpy_rng_state", "torch_rng_state", "cuda_rng_state")
    found = generators(*(keys.get(name) for name in names))
    if found:
        translation.put("rng_state", found, "torch_rng_state")
        return list(names)
    return []


def _first(keys: Mapping[str, Any], names: tuple[str, ...], fits: Any) -> str | None:
    return next((name for name in names if name in keys and fits(keys[name])), None)
