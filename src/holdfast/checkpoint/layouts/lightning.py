"""The `.ckpt` of Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.layouts.layout import Translated
from holdfast.checkpoint.layouts.parts import count, number, unwrapped, version_of, weights_in, without_owner
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.errors import CheckpointMismatch

_VERSION = "pytorch-lightning_version"
_OWNERS = ("model", "net", "network", "_model", "module")
"""What the network inside a LightningModule is usually called."""
_SCALERS = ("MixedPrecision", "MixedPrecisionPlugin", "NativeMixedPrecisionPlugin", "native_amp_scaling_state")
_SETTINGS = ("hyper_parameters", "datamodule_hyper_parameters")
_NOT_SETTINGS = ("hparams_name", "datamodule_hparams_name", "hparams_type", "datamodule_hparams_type")
_NEVER = ("samples", "rng_state", "data_state", "metric", "best_metric", "best_step", "metrics", "config")


class Lightning:
    """What `Trainer.save_checkpoint` and `ModelCheckpoint` write."""

    name = "Lightning"

    def recognises(self, source: Source) -> bool:
        """Says whether the file names Lightning's version or its loops beside weights."""
        keys = source.keys
        return "state_dict" in keys and (_VERSION in keys or "loops" in keys)

    def translate(self, source: Source) -> Translated:
        """Gives weights, counters, optimizer, schedule, scaler, averages, the best and the settings."""
        keys = source.keys
        translation = Translation(self.name, source)
        _take_counters(translation, keys)
        taken = ["epoch", "global_step", _VERSION, "loops", *_take_weights(translation, source)]
        if "optimizer_states" in keys:
            _take_optimizer(translation, keys["optimizer_states"])
        if "lr_schedulers" in keys:
            translation.put_one_of("scheduler_state_dict", keys["lr_schedulers"], "lr_schedulers")
        scaler = next((name for name in _SCALERS if isinstance(keys.get(name), Mapping)), None)
        translation.put("scaler_state_dict", keys[scaler] if scaler else None, scaler or "")
        translation.put_config({name: keys[name] for name in _SETTINGS if name in keys})
        _take_best(translation, source)
        taken += ["optimizer_states", "lr_schedulers", "callbacks", *([scaler] if scaler else [])]
        translation.leave_rest([*taken, *_SETTINGS, *_NOT_SETTINGS])
        return translation.done(_NEVER)


def _take_weights(translation: Translation, source: Source) -> list[str]:
    """Takes the weights, and with averages both kinds: Lightning then puts the averaged ones first."""
    keys = source.keys
    averaged = "current_model_state" in keys and "averaging_state" in keys
    name = "current_model_state" if averaged else "state_dict"
    weights = weights_in(keys[name])
    if weights is None:
        raise CheckpointMismatch(
            f"`{source.path}` must hold weights as `{name}`, but got something else; save it anew."
        )
    weights, notes = without_owner(unwrapped(weights)[0], _OWNERS)
    translation.put_weights(weights, name)
    for note in notes:
        translation.note(note)
    translation.state["ema_state_dict"] = None
    if averaged:
        kept, _ = without_owner(unwrapped(weights_in(keys["state_dict"]) or {})[0], _OWNERS)
        state = keys["averaging_state"]
        updates = count(state.get("n_averaged")) if isinstance(state, Mapping) else None
        translation.put_average(kept, updates, "state_dict")
    return ["state_dict", *(["current_model_state", "averaging_state"] if averaged else [])]


def _take_optimizer(translation: Translation, states: Any) -> None:
    if isinstance(states, list | tuple) and len(states) == 1:
        translation.put_optimizer(states[0], "optimizer_states[0]")
    else:
        translation.leave("optimizer_states", "several, or none, and a run has one")


def _take_counters(translation: Translation, keys: Mapping[str, Any]) -> None:
    """Takes what is done. `epoch` counts the epochs whose end has been dealt with, so the one that is just being saved
    is not in it; the progress of the loops knows better. Before version 1.6 `epoch` was the number of finished ones.
    """
    step, epoch = count(keys.get("global_step")), count(keys.get("epoch"))
    if step is not None:
        translation.state["step"] = step
    fit_loop = _inner(keys, "loops", "fit_loop")
    epochs = _inner(fit_loop, "epoch_progress", "current")
    batches = _inner(fit_loop, "epoch_loop.batch_progress")
    now = _inner(batches, "current")
    started, processed = count(epochs.get("started")), count(epochs.get("processed"))
    if started is not None and processed is not None:
        # A validation at the end of an epoch comes after its last batch, but before it counts as processed.
        has_ended = batches.get("is_last_batch") is True and now.get("ready") == now.get("processed")
        translation.state["epoch"] = started if has_ended else processed
        if not has_ended and count(now.get("processed")):
            translation.note(f"saved within epoch {processed + 1}, after {now['processed']} of its batches")
    elif epoch is not None:
        version = version_of(keys.get(_VERSION))
        is_done = version is None or version < (1, 6)
        translation.state["epoch"] = epoch if is_done else epoch + 1


def _take_best(translation: Translation, source: Source) -> None:
    """Takes the best from the callback that keeps the best; the file that it names as such is that state itself."""
    callbacks = source.keys.get("callbacks")
    for name, state in callbacks.items() if isinstance(callbacks, Mapping) else ():
        best = number(state.get("best_model_score")) if isinstance(state, Mapping) else None
        if best is None or "best_metric" in translation.state:
            translation.leave(f"callbacks.{name}", "nothing of ours corresponds to it")
            continue
        translation.state["best_metric"] = float(best)
        path = state.get("best_model_path")
        if isinstance(path, str) and path.replace("\\", "/").rpartition("/")[2] == source.path.name:
            translation.state["metric"] = float(best)
            translation.state["metrics"] = {str(state.get("monitor") or "metric"): float(best)}
            if "step" in translation.state:
                translation.state["best_step"] = translation.state["step"]


def _inner(value: Any, *names: str) -> Mapping[str, Any]:
    """Gives the mapping that lies under these names; an empty one when there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
