"""The folder of a run, where it comes from, what it measured, and how its progress is shown."""

from holdfast.run.display import Display
from holdfast.run.find import RunSummary, find_checkpoint, find_run, list_runs, run_roots
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name
from holdfast.run.journal import Journal, read_rows
from holdfast.run.observer import EpochReport, Observer, StepReport
from holdfast.run.provenance import Provenance, describe
from holdfast.run.train_log import TrainLog

__all__ = [
    "Display",
    "EpochReport",
    "Journal",
    "Observer",
    "Provenance",
    "RunFolder",
    "RunSummary",
    "Status",
    "StepReport",
    "TrainLog",
    "automatic_name",
    "check_name",
    "describe",
    "find_checkpoint",
    "find_run",
    "list_runs",
    "read_rows",
    "run_roots",
]
