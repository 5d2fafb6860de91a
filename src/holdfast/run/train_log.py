"""`train.log`: what happened to a run, in time-stamped lines, interruptions included."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.run.observer import EpochReport, StepReport
from holdfast.run.wording import epoch_line


class TrainLog:
    """An observer that adds lines to the `train.log` of a folder, and never takes one away."""

    def __init__(self, folder: Path, *, total_epochs: int | None, best_name: str) -> None:
        self.path = folder / "train.log"
        self._total_epochs = total_epochs
        self._best_name = best_name
        durable.make_folder(folder)

    def say(self, text: str) -> None:
        """Adds a text, each of its lines with the time; a disk that refuses must not stop the training."""
        time = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        lines = "".join(f"{time} {line}\n" for line in text.splitlines())
        with suppress(OSError), self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(lines)

    def after_step(self, report: StepReport) -> None:
        """Adds nothing: steps are the journal's business."""

    def after_epoch(self, report: EpochReport, pictures: Mapping[str, Any]) -> None:
        """Adds the line of the epoch."""
        self.say(epoch_line(report, total_epochs=self._total_epochs, best_name=self._best_name))
