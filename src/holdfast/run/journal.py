"""What a run measured: `metrics.jsonl`, `metrics.csv` and the TensorBoard curves, exact across interruptions.

`metrics.jsonl` has one JSON object in each line, with keys in lower case:

    {"kind": "epoch", "stage", "epoch", "step", "samples", "lr", "train/loss", ..., "val/f1", ..., "is_best"}
    {"kind": "step",  "stage", "epoch", "step", "samples", "lr", "loss", "parts/NAME", ..., "gradient_norm"}

Counts say what is done; in a run with stages `run_step` counts over all of them. A value that is infinite or not a
number is written as null, for JSON has no word for it.
There is no time of day in it: the file of an interrupted run has the bytes of the uninterrupted one.
"""

from __future__ import annotations

import csv
import io
import json
import math
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import durable
from holdfast.clock import Clock
from holdfast.run.growing import GrowingFile, cut_back, cut_back_to_lines
from holdfast.run.observer import EpochReport, StepReport

if TYPE_CHECKING:
    from holdfast.run.curves import Curves

ROWS = "metrics.jsonl"
TABLE = "metrics.csv"
_EVENTS = "events.out.tfevents.*"

Row = dict[str, Any]


class Journal:
    """An observer that writes down what a run measured.

    Args:
        folder: The logs folder of one stage; created when missing.
        tensorboard: Whether curves and pictures are written for TensorBoard, too.
        log_interval: A step is written down when its number is a multiple of this.
        position: What `position()` gave when the checkpoint was saved from which the run goes on: all that was
            written after it is cut off. None means a fresh start, and removes what an earlier attempt left.
        steps_before: Steps of the stages before this one: rows then have `run_step`, counted over all of the run.
            None in a run without stages.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tensorboard: bool,
        log_interval: int,
        position: Mapping[str, Any] | None,
        steps_before: int | None = None,
    ) -> None:
        self._folder = folder
        self._log_interval = log_interval
        self._steps_before = steps_before
        durable.make_folder(folder)
        _cut_back(folder, position or {})
        self._rows = GrowingFile(folder / ROWS)
        epochs = [row for row in read_rows(folder / ROWS) if row["kind"] == "epoch"]
        self._table = _Table(folder / TABLE, epochs)
        self._last_epoch: int = epochs[-1]["epoch"] if epochs else 0
        self._curves = _open_curves(folder) if tensorboard else None
        durable.fsync_folder(folder)

    def after_step(self, report: StepReport) -> None:
        """Writes down every `log_interval`th step."""
        if report.clock.step % self._log_interval:
            return
        norm = {} if report.gradient_norm is None else {"gradient_norm": report.gradient_norm}
        parts = {f"parts/{name}": value for name, value in report.parts.items()}
        self._add_row("step", report.clock, report.rate, {"loss": report.loss, **parts, **norm})
        if self._curves:
            scalars = {"Loss": report.loss, **report.parts, "LR": report.rate}
            if report.gradient_norm is not None:
                scalars["GradientNorm"] = report.gradient_norm
            self._curves.add_scalars({f"Step/{name}": value for name, value in scalars.items()}, report.clock.step)

    def after_epoch(self, report: EpochReport, pictures: Mapping[str, Any]) -> None:
        """Writes down an epoch, and what there is to see of it."""
        train = {f"Train/{name}": value for name, value in report.train.items()}
        val = {f"Val/{name}": value for name, value in report.val.items()}
        row = self._add_row("epoch", report.clock, report.rate, {**train, **val, "is_best": report.is_best})
        self._table.add(row)
        if self._curves:
            # The end of a run that is counted in steps may lie within an epoch, which then has the next number.
            x = report.clock.epoch + (report.clock.epoch == self._last_epoch)
            self._curves.add_scalars({**train, **val, "LR": report.rate}, x)
            named = {f"Image/{name}": picture for name, picture in pictures.items()}
            self._curves.add_pictures(named, report.clock.step)
        self._last_epoch = report.clock.epoch

    def position(self) -> dict[str, int]:
        """Gives the size of each file, for a checkpoint; everything up to there is durable.

        Raises:
            OSError: When the disk refuses something that was written down.
        """
        self._rows.sync()
        if self._curves:
            self._curves.file.sync()
        files = [self._folder / ROWS, *sorted(self._folder.glob(_EVENTS))]
        return {path.name: path.stat().st_size for path in files}

    def finish(self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Adds a finished run to TensorBoard's table of hyperparameters.

        Args:
            hyperparameters: The configuration by dotted keys.
            metrics: The final metrics, named like `val/F1`.
        """
        if self._curves:
            curves = {name[:1].upper() + name[1:]: value for name, value in metrics.items()}
            self._curves.add_hyperparameters(hyperparameters, curves)

    def close(self) -> None:
        """Closes the files."""
        self._rows.close()
        self._table.close()
        if self._curves:
            self._curves.close()

    def _add_row(self, kind: str, clock: Clock, rate: float, values: Mapping[str, float]) -> Row:
        run_step = {} if self._steps_before is None else {"run_step": self._steps_before + clock.step}
        row: Row = {"kind": kind, **clock.as_dict(), **run_step, "lr": _plain(rate)}
        row |= {name.lower(): _plain(value) for name, value in values.items()}
        self._rows.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        return row


def read_rows(path: Path) -> list[Row]:
    """Gives the rows of a `metrics.jsonl`; none of a missing file. A line that a kill cut short is left out."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


class _Table:
    """`metrics.csv`: the epochs for people with a spreadsheet, always equal to the epoch rows of the journal."""

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        self._path = path
        self._rows = list(rows)
        self._columns: dict[str, None] = {}
        self._file: GrowingFile | None = None
        path.unlink(missing_ok=True)
        if rows:
            self._rewrite()

    def add(self, row: Row) -> None:
        """Adds an epoch; a new column has the whole file written anew."""
        self._rows.append(row)
        if self._file and row.keys() - {"kind"} <= self._columns.keys():
            self._file.write(self._text([row]).encode())
        else:
            self._rewrite()

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _rewrite(self) -> None:
        self.close()
        self._columns = {key: None for row in self._rows for key in row if key != "kind"}
        header = {key: key for key in self._columns}
        # Where the disk refuses, the next epoch tries again.
        with suppress(OSError):
            durable.write_file(self._path, self._text([header, *self._rows]))
            self._file = GrowingFile(self._path)

    def _text(self, rows: Sequence[Row]) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self._columns), extrasaction="ignore", lineterminator="\n")
        writer.writerows(rows)
        return text.getvalue()


def _cut_back(folder: Path, position: Mapping[str, Any]) -> None:
    for path in folder.glob(_EVENTS):
        cut_back(path, position.get(path.name))
    cut_back_to_lines(folder / ROWS, position.get(ROWS))


def _open_curves(folder: Path) -> Curves:
    # Torch and TensorBoard take a second to import; whoever only reads rows does not need them.
    from holdfast.run.curves import Curves

    # Readers take the files in the order of their names, so a new one has to sort behind the others.
    stamps = [path.name.split(".")[3] for path in folder.glob(_EVENTS)]
    stamp = max([int(time.time()), *(int(one) + 1 for one in stamps if one.isdigit())])
    return Curves(folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}")


def _plain(value: float) -> float | int | bool | None:
    """Gives a number that JSON can hold; None for those that it cannot."""
    if isinstance(value, bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
