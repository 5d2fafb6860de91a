"""How the progress of a run is said in one line."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.run.observer import EpochReport


def epoch_line(report: EpochReport, *, total_epochs: int | None, best_name: str) -> str:
    """Gives `epoch 3/50, step 1200: train Loss 0.1234, val Loss 0.2, F1 0.91, LR 0.001; best val/f1 0.91 (new)`."""
    of = f"/{total_epochs}" if total_epochs else ""
    measured = [_named("train", report.train), _named("val", report.val), f"LR {report.rate:g}"]
    best = "" if report.best is None else f"; best {best_name} {report.best:.6g}{' (new)' * report.is_best}"
    return f"epoch {report.clock.epoch}{of}, step {report.clock.step}: {', '.join(filter(None, measured))}{best}"


def duration(seconds: float) -> str:
    """Gives `0:42`, `1:02:03` or `2 days 3:00:00`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} day{'s' * (days > 1)} {hour}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def _named(side: str, values: Mapping[str, float]) -> str:
    # What has a slash is a detail (`F1/g3`): it is on the curves and in the files.
    named = [f"{name} {value:.4g}" for name, value in values.items() if "/" not in name]
    return f"{side} {', '.join(named)}" if named else ""
