"""The status of a run while it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from holdfast.engine.training import Progress
from holdfast.run.folder import RunFolder, Status
from holdfast.run.observer import EpochReport, StepReport

WRITTEN_EVERY = 10.0
"""Seconds between two writes within an epoch."""


class StatusKeeper:
    """An observer that keeps `status.json` true."""

    def __init__(self, folder: RunFolder, training: Progress) -> None:
        self._folder = folder
        self._training = training
        self._written_at = 0.0

    def after_step(self, report: StepReport) -> None:
        """Writes the status when the last one is old enough."""
        if time.monotonic() - self._written_at > WRITTEN_EVERY:
            self.write("running")

    def after_epoch(self, report: EpochReport, pictures: Mapping[str, Any]) -> None:
        """Writes the status."""
        self.write("running")

    def write(self, state: str, message: str = "") -> None:
        """Writes the status; a disk that refuses must not stop the training."""
        training = self._training
        plan, record, clock = training.plan, training.record, training.clock
        self._written_at = time.monotonic()
        status = Status(
            state=state,
            stage=clock.stage,
            epoch=clock.epoch,
            step=clock.step,
            samples=clock.samples,
            total=plan.epochs if plan.epochs is not None else plan.total_steps,
            unit="epochs" if plan.epochs is not None else "steps",
            best_name=training.goal.monitor,
            best=record.best_metric,
            best_step=record.best_step,
            message=message,
        )
        with suppress(OSError):
            self._folder.write_status(status)
