"""The folder that the Trainer of Hugging Face writes: `checkpoint-500`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.layouts.layout import Translated
from holdfast.checkpoint.layouts.parts import count, generators, number
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.checkpoint.layouts.weights import has_weights, weights_of_folder

_STATE = "trainer_state.json"
_ARGUMENTS = "training_args.bin"
_GENERATORS = "rng_state.pth"
_NEVER = ("samples", "ema_state_dict", "data_state", "metric", "best_metric", "best_step", "metrics")


class TrainerFolder:
    """What `transformers.Trainer` saves."""

    name = "Hugging Face Trainer"

    def recognises(self, source: Source) -> bool:
        """Says whether the folder holds weights and the Trainer's own state."""
        return _STATE in source.names and has_weights(source)

    def translate(self, source: Source) -> Translated:
        """Gives weights, counters, optimizer, schedule, generators, metrics, the best and the settings."""
        translation = Translation(self.name, source)
        translation.put_weights(weights_of_folder(source), "weights")
        state = source.read_json(_STATE)
        _take_counters(translation, state)
        _take_scores(translation, state)
        if "optimizer.pt" in source.names:
            translation.put_optimizer(source.read("optimizer.pt"), "optimizer.pt")
        if "scheduler.pt" in source.names:
            translation.put("scheduler_state_dict", source.read("scheduler.pt"), "scheduler.pt")
        scaler = "scaler.pt" in source.names
        translation.put("scaler_state_dict", source.read("scaler.pt") if scaler else None, "scaler.pt")
        _take_generators(translation, source)
        if _ARGUMENTS in source.names:
            translation.put_config({_ARGUMENTS: source.read(_ARGUMENTS)})
        return translation.done(_NEVER)


def _take_counters(translation: Translation, state: Mapping[str, Any]) -> None:
    """Takes what is done: `epoch` is a number with a fraction, finished epochs and the share of the one in progress."""
    step, epoch = count(state.get("global_step")), number(state.get("epoch"))
    if step is not None:
        translation.state["step"] = step
    if epoch is not None and epoch >= 0:
        done = math.floor(epoch + 1e-6)
        translation.state["epoch"] = done
        if epoch - done > 1e-6:
            translation.note(f"saved within epoch {done + 1}, at {epoch:.4g}")


def _take_scores(translation: Translation, state: Mapping[str, Any]) -> None:
    """Takes the last evaluation and the best; which metric decides on it is found by its value in the history."""
    history = state.get("log_history")
    rows = [row for row in history if isinstance(row, Mapping)] if isinstance(history, list) else []
    scores = [(row, _scores(row)) for row in rows if _scores(row)]
    if scores:
        translation.state["metrics"] = scores[-1][1]
    best, best_step = number(state.get("best_metric")), count(state.get("best_global_step"))
    if best is None:
        return
    translation.state["best_metric"] = float(best)
    if best_step is not None:
        translation.state["best_step"] = best_step
    names = [name for row, named in scores if row.get("step") == best_step for name in named if named[name] == best]
    if names and scores[-1][0].get("step") == translation.state.get("step"):
        translation.state["metric"] = scores[-1][1].get(names[0])


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    """Gives the metrics of an evaluation: `eval_acc` is `val/acc` with us."""
    timing = ("_runtime", "_per_second", "_time")
    found = {
        f"val/{name.removeprefix('eval_')}": number(value)
        for name, value in row.items()
        if isinstance(name, str) and name.startswith("eval_") and not name.endswith(timing)
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _take_generators(translation: Translation, source: Source) -> None:
    several = sorted(name for name in source.names if re.fullmatch(r"rng_state_\d+\.pth", name))
    if _GENERATORS not in source.names:
        if several:
            translation.leave(", ".join(several), "the generators of several processes")
        return
    held = source.read(_GENERATORS)
    found = None
    if isinstance(held, Mapping):
        found = generators(held.get("python"), held.get("numpy"), held.get("cpu"), held.get("cuda"))
    if found is None:
        translation.leave(_GENERATORS, "not the generators of Python, NumPy and PyTorch")
    else:
        translation.put("rng_state", found, _GENERATORS)
