"""The curves and pictures of a run as a TensorBoard events file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue] - protobuf makes it at run time
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from holdfast.run.growing import GrowingFile


class Curves:
    """A new events file.

    The contents are those of torch's `SummaryWriter`, but the file is written without its thread, so that its size
    is known at once, forked loader workers inherit no lock, and a full disk leaves no gap.
    """

    def __init__(self, path: Path) -> None:
        self.file = GrowingFile(path)
        self._records = RecordWriter(self.file)
        self._add(Event(file_version="brain.Event:2"))

    def add_scalars(self, values: Mapping[str, float], x: int) -> None:
        """Adds one point to each of the named curves."""
        for tag, value in values.items():
            self._add(Event(summary=summary.scalar(tag, value), step=x))

    def add_pictures(self, pictures: Mapping[str, Any], x: int) -> None:
        """Adds pictures, uint8 [height, width, 3], by name."""
        for tag, picture in pictures.items():
            self._add(Event(summary=summary.image(tag, picture, dataformats="HWC"), step=x))

    def add_hyperparameters(self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Adds what the table of hyperparameters shows; the metrics must have the names of curves."""
        plain = {
            key: value if value is None or isinstance(value, bool | int | float | str) else str(value)
            for key, value in hyperparameters.items()
        }
        for part in summary.hparams(plain, dict(metrics)):
            self._add(Event(summary=part))

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
