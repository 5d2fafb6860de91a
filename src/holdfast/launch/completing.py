"""A whole state of a training from what somebody else's file holds of one.

What its layout never holds starts anew and is listed; anything else that is missing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.checkpoint.layouts.layout import WEIGHTS, Translated
from holdfast.config import Config
from holdfast.engine.training import Plan, Training
from holdfast.engine.transfer import with_tied
from holdfast.errors import UserError
from holdfast.launch.moments import fitting_moments, keeps_moments
from holdfast.launch.sources import settings_in

_GENERATORS = {"python", "numpy", "torch", "cuda"}


@dataclass
class Completed:
    """A state with everything that a training has, and what is to be said about it."""

    state: dict[str, Any]
    anew: list[str] = field(default_factory=list)
    """Parts that start anew."""
    left: list[str] = field(default_factory=list)
    """Parts of the file for which this run has no use."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Position:
    """How far a training is, in counts that fit the data of this run."""

    epoch: int
    step: int
    note: str = ""
    """What did not agree, and what was followed."""


def complete(found: Translated, own: Mapping[str, Any], training: Training, config: Config) -> Completed:
    """Gives the state of a fresh training with everything in it that a file holds.

    Args:
        found: The file, in our words.
        own: The state of the fresh training.
        training: The fresh training.
        config: Its configuration.

    Raises:
        UserError: When something is missing that its layout should hold, or does not fit.
    """
    weights = with_tied(training.learner.model.state_dict(), _weights(found))
    position = _position(found, training.plan)
    versions = found.state.get("model_versions") or own["model_versions"]
    done = Completed({**own, WEIGHTS: weights, "model_versions": versions})
    if position.note:
        done.notes.append(position.note)
    _take_moments(done, found, training)
    _take_optional(done, found, "scaler_state_dict", own["scaler_state_dict"], "training.amp")
    average = None if own["ema_state_dict"] is None else {"updates": 0, WEIGHTS: weights}
    _take_optional(done, found, "ema_state_dict", average, "training.ema")
    if done.state["ema_state_dict"] is not None:
        done.state["ema_state_dict"] = {"updates": position.step, **done.state["ema_state_dict"]}
    if _is_captured(found.state.get("rng_state")):
        done.state["rng_state"] = found.state["rng_state"]
    if found.state.get("config") and settings_in(found) is None:
        done.left.append("config: this run has settings of its own")
    if found.state.get("scheduler_state_dict"):
        done.left.append("scheduler_state_dict: the rate follows training.schedule")
    done.state |= _counters(found, position, training, config)
    done.state |= _best(found, position)
    is_closed = position.step == position.epoch * training.plan.steps_per_epoch
    done.state["history"] = {**own["history"], "closed_at": position.step if is_closed else None}
    done.anew += ["the order of the samples, from the seed", "the curves, which begin here"]
    return done


def position_in(state: Mapping[str, Any], plan: Plan) -> Position | None:
    """Gives the counters of a file as this run counts; None when it has none.

    Steps that do not lie in the epoch that the file names are those of other data or of another batch size. Then
    epochs are followed, or steps where the run is planned in steps. One whole epoch more in steps than in epochs is
    an epoch that was over, but not counted yet, when the file was written.
    """
    each = plan.steps_per_epoch
    epoch, step = _count(state.get("epoch")), _count(state.get("step"))
    if step is None:
        return None if epoch is None else Position(epoch, epoch * each)
    if epoch is None:
        return Position(step // each, step)
    if epoch * each <= step < (epoch + 1) * each:
        return Position(epoch, step)
    said = f"the file counts {epoch} epochs and {step} steps, and an epoch of this data has {each}"
    if plan.steps is not None or step == (epoch + 1) * each:
        return Position(step // each, step, f"{said}: its steps are followed")
    return Position(epoch, epoch * each, f"{said}: its epochs are followed")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _position(found: Translated, plan: Plan) -> Position:
    position = position_in(found.state, plan)
    if position is None:
        raise UserError(
            f"`{found.path}` must say how many epochs or steps are done, but says neither ({found.layout}); "
            f"begin a new run with its weights instead: --init-from {found.path}."
        )
    return position


def _weights(found: Translated) -> Mapping[str, Any]:
    weights = found.state.get(WEIGHTS)
    if not isinstance(weights, Mapping) or not weights:
        raise UserError(f"`{found.path}` must hold weights, but has none ({found.layout}); use another checkpoint.")
    return weights


def _part(found: Translated, name: str) -> Mapping[str, Any] | None:
    """Gives a part of a file; None for one that was off when it was written, or that its layout never holds.

    Raises:
        UserError: When the layout holds it, but this file does not.
    """
    if name not in found.state and name not in found.absent:
        why = "".join(f" ({one.name}: {one.why})" for one in found.left if one.name.startswith(name.partition("_")[0]))
        raise UserError(
            f"`{found.path}` must hold `{name}` as files of its layout do ({found.layout}), but has none{why}; use "
            f"another checkpoint, or begin a new run with its weights: --init-from {found.path}."
        )
    return found.state.get(name) or None


def _take_moments(done: Completed, found: Translated, training: Training) -> None:
    learner = training.learner
    moments = _part(found, "optimizer_state_dict")
    if moments is None:
        done.state.pop("optimizer_state_dict")
        done.anew.append(f"the optimizer, at rate {learner.base_rates[0]:g}")
        return
    if not moments.get("state") and keeps_moments(learner.optimizer):
        done.anew.append(f"the optimizer, at rate {learner.base_rates[0]:g}: the file has nothing of it but settings")
        return
    done.state["optimizer_state_dict"] = fitting_moments(found, learner, moments)
    done.notes += _changed_settings(moments["param_groups"], learner.base_rates[0], learner.optimizer.param_groups[0])


def _changed_settings(theirs: list[Mapping[str, Any]], rate: float, ours: Mapping[str, Any]) -> list[str]:
    """Says which settings of the optimizer are others from here on."""
    notes: list[str] = []
    before = theirs[0].get("initial_lr", theirs[0].get("lr"))
    if _number(before) is not None and before != rate:
        notes.append(f"the rate was {before:g} and is {rate:g} from here on (training.lr)")
    decays = [(group["weight_decay"], len(group["params"])) for group in theirs if "weight_decay" in group]
    if any(decay != ours["weight_decay"] for decay, _ in decays):
        sizes = " and ".join(f"{decay} for {count} parameters" for decay, count in decays)
        notes.append(f"the weight decay was {sizes} and is {ours['weight_decay']:g} for all (training.weight_decay)")
    return notes


def _take_optional(done: Completed, found: Translated, name: str, fresh: Any, setting: str) -> None:
    """Takes a part that a training has only with some settings."""
    if fresh is None:
        done.state[name] = None
        if found.state.get(name):
            done.left.append(f"{name}: this run has none ({setting})")
        return
    done.state[name] = _part(found, name) or fresh
    if done.state[name] is fresh:
        done.anew.append(f"{name} ({setting})")


def _is_captured(generators: Any) -> bool:
    """Whether the states of generators are those that we capture; others say nothing to us."""
    return isinstance(generators, Mapping) and generators.keys() >= _GENERATORS


def _counters(found: Translated, position: Position, training: Training, config: Config) -> dict[str, Any]:
    whole, rest = position.epoch, position.step - position.epoch * training.plan.steps_per_epoch
    each = training.batches.num_samples
    counted = whole * each + min(rest * config.training.batch_size, each)
    told = _count(found.state.get("samples"))
    is_told = told is not None and not position.note
    return {"epoch": position.epoch, "step": position.step, "samples": told if is_told else counted}


def _best(found: Translated, position: Position) -> dict[str, Any]:
    """Gives the metric of this state, the best so far, and the last evaluation as far as it is numbers."""
    state = found.state
    metric, best = (_number(state.get(name)) for name in ("metric", "best_metric"))
    best_step = _count(state.get("best_step"))
    is_this = metric is not None and (best == metric or (best is None and best_step == state.get("step")))
    metrics = state.get("metrics")
    named = metrics if isinstance(metrics, Mapping) else {}
    return {
        "metric": metric,
        "best_metric": metric if is_this else best,
        "best_step": position.step if is_this else (best_step if best is not None and not position.note else None),
        "metrics": {str(name): value for name, value in named.items() if _number(value) is not None},
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
