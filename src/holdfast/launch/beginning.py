"""A new run that begins with weights from elsewhere instead of those of its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint.layouts.layout import Layout, Translated
from holdfast.config import Resolved, changes
from holdfast.engine.averaging import Average
from holdfast.engine.training import Training
from holdfast.engine.transfer import Transfer, compare, refuse_unusable, take, with_tied
from holdfast.errors import UserError
from holdfast.launch.sources import described, progress, read_source, weights_in
from holdfast.launch.telling import Say

Begin = Callable[[Training, Resolved[Any], Say], dict[str, Any]]
"""Changes a fresh training before its first step, and gives what provenance.json is to say of that."""


@dataclass(frozen=True)
class InitFrom:
    """Begins with weights alone: the optimizer, the counters and everything else are those of a new run.

    A name in the file that the model does not have, or has in another shape, is refused unless it is to be left.
    """

    path: Path
    layouts: Sequence[Layout] = ()
    """Those of the system, for checkpoints of its own past."""
    leave: Sequence[str] = ()
    """Patterns of names that stay in the file."""
    least_matched: float = 0.0
    """The least share of the model's values that must be taken."""

    def __call__(self, training: Training, resolved: Resolved[Any], say: Say) -> dict[str, Any]:
        """Puts the weights into the model, and says what matched, what is new and what was left.

        Raises:
            UserError: When the file is none of weights, or they do not fit.
            DamagedCheckpoint: When a byte of it is not what was written.
        """
        found = read_source(self.path, self.layouts)
        weights, is_averaged = weights_in(found)
        learner = training.learner
        ours = learner.model.state_dict()
        weights = with_tied(ours, weights)
        transfer = compare(ours, weights, leave=self.leave)
        try:
            refuse_unusable(str(self.path), ours, weights, transfer, leave=self.leave)
            self._refuse_too_little(transfer)
        except UserError as error:
            raise UserError(f"{error}{_other_settings(found, resolved)}") from error
        take(learner.model, weights, transfer, found.state.get("model_versions"))
        if learner.average:
            # Its model was made of the weights of the seed.
            learner.average = Average(learner.model, learner.average.decay)
        facts = [found.layout, progress(found), "averaged weights" if is_averaged else ""]
        say(f"weights from {self.path} ({', '.join(fact for fact in facts if fact)})")
        # How the counters were read is of no interest here.
        of_weights = [f"  {note}" for note in found.notes if "weights" in note]
        for line in [*of_weights, *transfer.lines()]:
            say(line)
        return {"init_from": {**described(found), "averaged": is_averaged, **transfer.as_dict()}}

    def _refuse_too_little(self, transfer: Transfer) -> None:
        if transfer.share < self.least_matched:
            raise UserError(
                f"`{self.path}` must have at least {100 * self.least_matched:g} % of the model's values, but got "
                f"{100 * transfer.share:.1f} %; lower `least_matched` of the stage, or use other weights."
            )


def _other_settings(found: Translated, resolved: Resolved[Any]) -> str:
    """Names the settings of the model that were others where the weights come from; nothing when none is known."""
    config = found.state.get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    if not isinstance(model, Mapping):
        return ""
    different = changes({"model": model}, {"model": resolved.values["model"]})
    both = [change for change in different.refused if None not in (change.old, change.new)]
    settings = [f"`{key}` is {new!r} here and was {old!r} there" for key, old, new in both]
    return f" Settings: {', '.join(settings)}." if settings else ""
