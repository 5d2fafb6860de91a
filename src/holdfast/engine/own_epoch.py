"""The end of an epoch in a loop of one's own: its means, its point on the curves, and whether it is the best."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.engine.own_state import OwnProgress
from holdfast.engine.update import Tally
from holdfast.errors import UserError
from holdfast.run.observer import EpochReport


def check_epoch(progress: OwnProgress, *, left_over: int) -> list[str]:
    """Gives what looks like a mistake in an epoch that is about to be closed, each in a line.

    Args:
        progress: How far the loop is.
        left_over: Batches that no step has used.

    Raises:
        UserError: When no step was taken.
    """
    if progress.record.tally.weight == 0:
        raise UserError(
            "`run.step` must be called after each optimizer step, but an epoch ended without one; add the call."
        )
    lines = []
    if left_over:
        lines.append(
            f"the last {left_over} batches of the epoch belong to no step: gradients that are carried over "
            "the end of an epoch are not saved"
        )
    recorded, monitor = [name.lower() for name in progress.recorded], progress.goal.monitor
    if recorded and monitor.startswith("val/") and monitor.lower() not in recorded:
        lines.append(f"`monitor` is {monitor}, but this epoch recorded only {', '.join(recorded)}")
    return lines


def close_epoch(progress: OwnProgress) -> EpochReport:
    """Counts the epoch, decides on the best, and gives what the epoch came to."""
    record, step = progress.record, progress.clock.step
    loss, parts = record.tally.means()
    named = {"train/Loss": loss, **{f"train/{name}": value for name, value in parts.items()}, **progress.recorded}
    record.metric = progress.goal.value_of(named)
    is_best = record.metric is not None and progress.goal.is_better(record.metric, record.best_metric)
    if is_best:
        record.best_metric, record.best_step = record.metric, step
    record.metrics, record.closed_at, record.tally = named, step, Tally()
    progress.clock = progress.clock.after_epoch()
    progress.batches_done, progress.recorded = 0, {}
    return EpochReport(
        clock=progress.clock,
        rate=record.rate,
        train=_side(named, "train"),
        val=_side(named, "val"),
        is_best=is_best,
        best=record.best_metric,
    )


def curve_name(name: str) -> str:
    """Gives `val/acc` for `val_acc` and for `acc`, and `train/acc` for `train_acc`."""
    side, _, rest = name.replace("/", "_", 1).partition("_")
    if side not in ("train", "val") or not rest:
        side, rest = "val", name
    return f"{side}/{'Loss' if rest.lower() == 'loss' else rest}"


def _side(named: Mapping[str, float], side: str) -> dict[str, float]:
    return {name.removeprefix(f"{side}/"): value for name, value in named.items() if name.startswith(f"{side}/")}
