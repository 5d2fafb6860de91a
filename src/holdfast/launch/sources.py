"""What a new run can begin with: a checkpoint of a run, a loose file, somebody else's file or folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.checkpoint.layouts.layout import PARTS, WEIGHTS, Layout, Translated
from holdfast.checkpoint.layouts.native import IMPORTED, Native
from holdfast.checkpoint.layouts.reading import read_any
from holdfast.errors import CheckpointError, DamagedCheckpoint, RunError, UserError
from holdfast.run.find import find_checkpoint
from holdfast.run.folder import RunFolder

SCRIPT = "Holdfast, saved by a script"
"""The layout of what `CheckpointManager` and `save_checkpoint` write."""


def find_weights(text: str, *, choice: str | None) -> Path:
    """Gives the file or folder whose weights `--init-from` means: a run's best checkpoint, else its latest.

    Args:
        text: A run, a checkpoint in it, or any other file or folder of weights.
        choice: `latest`, `best` or a file of the run; None for no choice.

    Raises:
        UserError: When there is nothing of that name, or the run has no checkpoint.
    """
    path = Path(text).expanduser()
    outside = path if is_outside_runs(path) else None
    if outside is None or outside.is_dir():
        try:
            folder, _, found = find_checkpoint(text, choice=choice, prefer=("best", "latest"))
        except RunError:
            if outside is None:
                raise
        else:
            if found is None:
                raise UserError(
                    f"`{text}` must have a checkpoint, but got a run without one; "
                    f"train it first: holdfast resume {folder.path}."
                )
            return found
    if choice is not None:
        raise UserError(
            f"`--checkpoint` must choose among the checkpoints of a run, but {text} is no run; leave --checkpoint out."
        )
    return outside


def is_outside_runs(path: Path) -> bool:
    """Says whether a path exists and lies in no run, by its own name and by where a link leads."""
    places = (Path(os.path.abspath(path)), path.resolve())
    return path.exists() and not any(RunFolder.is_run(one) for place in places for one in (place, *place.parents))


def read_source(path: Path, layouts: Sequence[Layout], *, epoch: int | None = None) -> Translated:
    """Gives what a file or folder holds, in our words.

    Args:
        path: The file or folder.
        layouts: Those of a system, which are asked first.
        epoch: How many epochs of it are done, for a file that cannot say so by itself.

    Raises:
        DamagedCheckpoint: When a byte of it is not what was written.
        UserError: When it is no checkpoint that can be read.
    """
    try:
        found = read_any(path, layouts)
    except DamagedCheckpoint:
        raise
    except CheckpointError as error:
        raise UserError(str(error)) from error
    if epoch is not None and (epoch < 0 or is_whole(found)):
        raise UserError(f"`--epoch` must be what {path} does not say itself, from 0 on, but got {epoch}; leave it out.")
    if found.layout == Native.name and not is_whole(found) and IMPORTED not in _metadata(found):
        found = _of_a_script(found)
    if epoch is None:
        return found
    # Whoever says that much of a file says that it was saved at the end of that epoch.
    told = {key: value for key, value in found.state.items() if key not in ("step", "samples")}
    return replace(found, state={**told, "epoch": epoch})


def _of_a_script(found: Translated) -> Translated:
    told = dict(found.state)
    epoch, metric = told.get("epoch"), told.get("metric")
    if told.get("step") == epoch:
        # CheckpointManager counts epochs alone, and writes them as steps, too.
        told = {key: value for key, value in told.items() if key not in ("step", "best_step")}
        told["best_metric"] = metric if found.state.get("best_step") == epoch else None
    never_held = tuple(part for part in PARTS if part not in (WEIGHTS, "epoch") and told.get(part) is None)
    return replace(found, layout=SCRIPT, state=told, absent=never_held)


def is_whole(found: Translated) -> bool:
    """Says whether a checkpoint holds everything that going on exactly needs: only a run of a system writes such."""
    state = found.state
    return (
        found.layout == Native.name and "history" in state and "samples" in state and "tracked" not in _metadata(found)
    )


def settings_in(found: Translated) -> Mapping[str, Any] | None:
    """Gives the configuration in a checkpoint when it is one of a system; None for settings of another program."""
    config = found.state.get("config")
    is_of_a_system = isinstance(config, Mapping) and config.get("system") not in (None, "own_loop")
    return config if is_of_a_system else None


def weights_in(found: Translated) -> tuple[Mapping[str, Any], bool]:
    """Gives the weights of a checkpoint, the averaged ones where there are some, and whether they are.

    Raises:
        UserError: When it holds none.
    """
    averaged = found.state.get("ema_state_dict")
    for part, is_averaged in ((averaged, True), (found.state, False)):
        weights = part.get(WEIGHTS) if isinstance(part, Mapping) else None
        if isinstance(weights, Mapping) and weights:
            return weights, is_averaged
    raise UserError(f"`{found.path}` must hold weights, but has none ({found.layout}); use another checkpoint.")


def described(found: Translated) -> dict[str, Any]:
    """Gives what provenance.json says of a source: where it is, what it is, and what its bytes are."""
    state = found.state
    counters = {key: state[key] for key in ("stage", "epoch", "step", "timestamp") if state.get(key) is not None}
    return {"path": os.path.abspath(found.path), "layout": found.layout, **counters, "sha256": _digests(found.path)}


def progress(found: Translated) -> str:
    """Says how far a source is, as far as it says so itself: `epoch 3, step 15`."""
    return ", ".join(f"{key} {found.state[key]}" for key in ("epoch", "step") if found.state.get(key) is not None)


def _metadata(found: Translated) -> Mapping[str, Any]:
    metadata = found.state.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _digests(path: Path) -> str | dict[str, str]:
    """Gives the SHA-256 of a file, as `sha256sum` shows it; of a folder, those of the files in it."""
    if path.is_dir():
        return {one.name: _digest(one) for one in sorted(path.iterdir()) if one.is_file()}
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
