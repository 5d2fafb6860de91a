"""The `.pth` of MMEngine, and of MMCV before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.layouts.layout import Translated
from holdfast.checkpoint.layouts.parts import count, is_optimizer, number, weights_in
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.errors import CheckpointMismatch

_VERSIONS = ("mmengine_version", "mmcv_version")
_AVERAGE = "ema_state_dict"
_NOT_OPTIMIZER = ("loss_scaler", "base_param_settings")
_NEVER = ("samples", "rng_state", "data_state", "metric", "best_metric", "best_step", "metrics")


class MMEngine:
    """What `Runner.save_checkpoint` writes: by epochs or by iterations, both counted as done."""

    name = "MMEngine"

    def recognises(self, source: Source) -> bool:
        """Says whether the file has weights and `meta` with a version of MMEngine or MMCV."""
        meta = source.keys.get("meta")
        return "state_dict" in source.keys and isinstance(meta, Mapping) and any(name in meta for name in _VERSIONS)

    def translate(self, source: Source) -> Translated:
        """Gives weights, counters, optimizer, schedules, scaler, averages, the best and the settings."""
        keys, meta = source.keys, source.keys["meta"]
        translation = Translation(self.name, source)
        for part, name in {"epoch": "epoch", "step": "iter"}.items():
            if (done := count(meta.get(name))) is not None:
                translation.state[part] = done
        _take_weights(translation, source)
        _take_optimizer(translation, keys)
        if "param_schedulers" in keys:
            translation.put_one_of("scheduler_state_dict", keys["param_schedulers"], "param_schedulers")
        _take_best(translation, keys)
        translation.put_config({"meta": {name: meta[name] for name in ("cfg", "seed") if name in meta}})
        taken = ("meta", "state_dict", _AVERAGE, "optimizer", "param_schedulers", "message_hub")
        translation.leave_rest(taken)
        return translation.done(_NEVER)


def _take_weights(translation: Translation, source: Source) -> None:
    """Takes the weights, and with averages both kinds: MMEngine then swaps them, so that `state_dict` is averaged."""
    keys = source.keys
    weights = weights_in(keys["state_dict"])
    if weights is None:
        raise CheckpointMismatch(
            f"`{source.path}` must hold weights as `state_dict`, but got something else; save it anew."
        )
    other = weights_in(keys.get(_AVERAGE))
    if other is None:
        translation.put_weights(weights, "state_dict")
        translation.state["ema_state_dict"] = None
        return
    updates = count(other.pop("steps", None))
    translation.put_weights(other, _AVERAGE)
    translation.put_average(weights, updates, "state_dict")
    translation.note(f"`state_dict` is the average and `{_AVERAGE}` the weights in training, as MMEngine swaps them")


def _take_optimizer(translation: Translation, keys: Mapping[str, Any]) -> None:
    held = keys.get("optimizer")
    translation.state["scaler_state_dict"] = None
    if not isinstance(held, Mapping):
        return
    if isinstance(held.get("loss_scaler"), Mapping):
        translation.put("scaler_state_dict", held["loss_scaler"], "optimizer.loss_scaler")
    alone = {name: value for name, value in held.items() if name not in _NOT_OPTIMIZER}
    if is_optimizer(alone):
        translation.put_optimizer(alone, "optimizer")
    else:
        translation.leave("optimizer", "several, or none of PyTorch's, and a run has one")


def _take_best(translation: Translation, keys: Mapping[str, Any]) -> None:
    hub = keys.get("message_hub")
    facts = hub.get("runtime_info") if isinstance(hub, Mapping) else None
    best = number(facts.get("best_score")) if isinstance(facts, Mapping) else None
    if best is not None:
        translation.state["best_metric"] = float(best)
    if hub is not None:
        translation.leave("message_hub", "its curves; the journal of a run begins anew")
