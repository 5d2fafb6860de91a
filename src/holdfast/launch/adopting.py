"""A new run that goes on from a file that lies in no run: one of ours that was copied out, or somebody else's.

A checkpoint of a run is restored part by part, and what follows has the bits of the run that it is from. Of another
file everything is taken that it holds of a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint.layouts.layout import WEIGHTS, Layout, Translated
from holdfast.config import Resolved
from holdfast.engine.state import capture, restore
from holdfast.engine.training import Training
from holdfast.engine.transfer import refuse_not_finite
from holdfast.errors import CheckpointMismatch, UserError
from holdfast.launch.completing import Completed, complete
from holdfast.launch.going_on import apply_threads, compare_platform, forget_another_best, refuse_less
from holdfast.launch.sources import described, is_whole, read_source
from holdfast.launch.telling import Say

_LEFT_AT_MOST = 8


@dataclass(frozen=True)
class GoOnFrom:
    """Begins with everything that a file holds of a training; its counters are where the clock starts."""

    path: Path
    layouts: Sequence[Layout] = ()
    """Those of the system, for checkpoints of its own past."""
    epoch: int | None = None
    """How many epochs of it are done, where the file cannot say so by itself."""

    def __call__(self, training: Training, resolved: Resolved[Any], say: Say) -> dict[str, Any]:
        """Puts the state into the training, and says what was taken, what starts anew and what was left.

        Raises:
            UserError: When something of it is missing, does not fit, or there is nothing left to do.
        """
        found = read_source(self.path, self.layouts, epoch=self.epoch)
        try:
            if is_whole(found):
                done = Completed(dict(found.state))
                apply_threads(found.state["metadata"].get("threads"), say)
            else:
                own = capture(training, config=resolved.values, journal={}, with_optimizer=True)
                done = complete(found, own, training, resolved.config)
            refuse_not_finite(str(found.path), done.state[WEIGHTS])
            restore(training, done.state)
        except CheckpointMismatch as error:
            raise UserError(f"{found.path}: {error}") from error
        refuse_less(training)
        if training.is_over or (not is_whole(found) and training.plan.is_over(training.clock)):
            raise _complete(found, training)
        clock, record = training.clock, training.record
        say(f"going on from {found.path} ({found.layout}) as a new run: epoch {clock.epoch}, step {clock.step}")
        if is_whole(found):
            compare_platform(found.state, training, say)
            forget_another_best(found.state["config"], resolved, training, say)
        left = [*done.left, *(f"{one.name}: {one.why}" for one in found.left)]
        _tell(say, notes=[*found.notes, *done.notes], anew=done.anew, left=left)
        if record.best_metric is not None and (record.metric is None or record.best_step != clock.step):
            say(f"  best  {record.best_metric:g} so far, taken for {training.goal.monitor}; its weights are elsewhere")
        return {"continued_from": {**described(found), "anew": done.anew, "left": left}}


def _tell(say: Say, *, notes: list[str], anew: list[str], left: list[str]) -> None:
    for note in notes:
        say(f"  {note}")
    for one in anew:
        say(f"  anew  {one}")
    for one in left[:_LEFT_AT_MOST]:
        say(f"  left  {one}")
    if len(left) > _LEFT_AT_MOST:
        say(f"  left  {len(left) - _LEFT_AT_MOST} more, all in provenance.json")


def _complete(found: Translated, training: Training) -> UserError:
    """Gives the error for a training that has nothing left to do: a new run of it would be an empty one."""
    plan, clock = training.plan, training.clock
    unit, done = ("epochs", clock.epoch) if plan.epochs is not None else ("steps", clock.step)
    return UserError(
        f"`training.{unit}` must be more than the {done} that are done in {found.path}, "
        f"but got {plan.epochs or plan.steps}; add --{unit} {2 * done or 1}."
    )
