"""The trained run that a command line names."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.config import Layer
from holdfast.engine.system import System
from holdfast.errors import UserError
from holdfast.run.find import find_checkpoint
from holdfast.systems import load_system
from holdfast.trained import TrainedRun, load_trained


def open_trained(run: str, *, choice: str | None, options: Callable[[System], Layer]) -> TrainedRun:
    """Gives the model of a run's best checkpoint, else of its latest, or of the chosen one.

    Raises:
        UserError: When there is no such run, or it has no checkpoint yet.
    """
    folder, _, path = find_checkpoint(run, choice=choice, prefer=("best", "latest"))
    if path is None:
        raise UserError(
            f"`{run}` must have a checkpoint, but got a run without one; train it first: holdfast resume {folder.path}."
        )
    return load_trained(path, load_system=load_system, options=options)
