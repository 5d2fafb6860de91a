"""What can go wrong, as a small tree; each class exists because somebody catches it.

    HoldfastError
    ├── UserError                the caller's mistake, found before any harm: one line, exit code 2
    │   ├── ConfigError          unknown keys, wrong types, impossible pairs: all mistakes at once
    │   ├── DataError            a data set that is missing, unreadable or of the wrong shape
    │   └── RunError             a run that exists, is in use, or is not a run
    ├── CheckpointError          a checkpoint that cannot be used
    │   ├── DamagedCheckpoint    bytes that are not what was written
    │   ├── CheckpointMismatch   a part that is missing, unexpected or of another shape
    │   ├── UnreadableFile       a file of somebody else that is of no known kind, or cut off
    │   └── UnsafeFile           a file of somebody else that asks for more than to be looked at
    ├── TrainingError            training cannot go on: exit code 1
    │   ├── NonFiniteLoss        the loss became infinite or not a number
    │   └── SampleError          the data set raised for one sample
    └── Interrupted              a signal or the time limit stopped the run; a checkpoint has been saved

Messages have the form "`what` must ..., but got ...; do ...".
"""

from __future__ import annotations

from collections.abc import Sequence


class HoldfastError(Exception):
    """Any error that Holdfast raises on purpose."""


class UserError(HoldfastError):
    """The caller's mistake, found before any harm was done."""


class ConfigError(UserError):
    """One or more mistakes in a configuration, each a line of its own."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes: Sequence[str] = mistakes


class DataError(UserError):
    """A data set that is missing, unreadable or of the wrong shape."""


class RunError(UserError):
    """A run that exists already, is in use, or is not a run."""


class CheckpointError(HoldfastError):
    """A checkpoint that cannot be used."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint whose bytes are not what was written."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint in which a part is missing, unexpected or of another shape."""


class UnreadableFile(CheckpointError):
    """A file of somebody else that is of no known kind, or cut off."""


class UnsafeFile(CheckpointError):
    """A file of somebody else that asks for more than to be looked at: a trap, a bomb, or by far too much."""


class TrainingError(HoldfastError):
    """Training cannot go on."""


class NonFiniteLoss(TrainingError):
    """The loss became infinite or not a number."""


class SampleError(TrainingError):
    """The data set raised for one sample."""


class Interrupted(HoldfastError):
    """A signal or the time limit stopped the run; a checkpoint of the last finished step has been saved."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
