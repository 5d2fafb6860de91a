"""The checkpoint that a command line names, ours or foreign, and the layouts that it may have."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.checkpoint.layouts import Layout


def locate(text: str, *, choice: str | None = None, prefer: Sequence[str] = ("latest",)) -> Path:
    """Gives the checkpoint that a path or a run's name means: a file, a foreign folder, or one of a run's.

    Args:
        text: A checkpoint anywhere, a run folder, or a run's name.
        choice: `latest`, `best` or a file of the run; None for no choice.
        prefer: What a run means, the first that exists.

    Raises:
        UserError: When there is no such checkpoint.
    """
    from holdfast.run.find import find_checkpoint

    path = Path(text).expanduser()
    if path.is_file() and choice is None:
        return path
    if path.exists() and (_is_foreign_folder(path) or not _is_in_run(path)):
        if choice is not None:
            raise UserError(
                f"`--checkpoint` must choose one of a run's, but got {text}, which is no run; leave it out."
            )
        return path
    folder, _, found = find_checkpoint(text, choice=choice, prefer=prefer)
    if found is None:
        raise UserError(
            f"`{text}` must have a checkpoint, but got a run without one; "
            f"train it first: holdfast resume {folder.path}."
        )
    return found


def layouts_of(system: str | None) -> tuple[Layout, ...]:
    """Gives the old formats of a system; without one, those of all built-in systems.

    A built-in system keeps them as `LAYOUTS` in its `legacy.py`, so that looking at a file builds no network.

    Raises:
        UserError: When there is no such system.
    """
    from holdfast.systems import SYSTEMS, load_system

    if system is not None:
        return tuple(load_system(system).layouts)
    homes = (path.partition(":")[0].rpartition(".")[0] for _, path in sorted(SYSTEMS.items()))
    pasts = (f"{home}.legacy" for home in homes)
    modules = (importlib.import_module(past) for past in pasts if importlib.util.find_spec(past) is not None)
    return tuple(layout for module in modules for layout in module.LAYOUTS)


def _is_foreign_folder(path: Path) -> bool:
    from holdfast.checkpoint.layouts import Source
    from holdfast.checkpoint.layouts.weights import has_weights

    return path.is_dir() and has_weights(Source(path))


def _is_in_run(path: Path) -> bool:
    from holdfast.run.folder import RunFolder

    places = {path.absolute(), path.resolve()}
    return any(RunFolder.is_run(folder) for place in places for folder in (place, *place.parents))
