"""Checkpoints that leave, and those that arrive: weights only for others, and a foreign one as one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.layouts.layout import WEIGHTS, Translated
from holdfast.checkpoint.layouts.native import IMPORTED
from holdfast.checkpoint.layouts.parts import weights_in
from holdfast.checkpoint.safetensors_file import write_safetensors
from holdfast.errors import CheckpointError, UserError

VERSION = 1
TORCH = (".pth", ".pt")
SAFETENSORS = ".safetensors"


def check_target(path: Path, *, kinds: tuple[str, ...], overwrite: bool) -> None:
    """Makes sure that a file can be made here.

    Raises:
        UserError: When its name ends otherwise, or something is there already.
    """
    if path.suffix not in kinds:
        raise UserError(
            f"`{path}` must end in {' or '.join(kinds)}, but got {path.suffix or 'no ending'!r}; rename it."
        )
    if path.is_dir():
        raise UserError(f"`{path}` must be a file, but got a folder; name a file in it.")
    if path.exists() and not overwrite:
        raise UserError(f"`{path}` must be a new file, but got one that exists; choose another name, or --overwrite.")


def weights_to_export(found: Translated) -> tuple[dict[str, Tensor], bool]:
    """Gives the weights of a checkpoint, and whether they are averaged: those are taken when there are some.

    Raises:
        CheckpointError: When it holds no weights.
    """
    averages = found.state.get("ema_state_dict")
    averaged = weights_in(averages.get(WEIGHTS)) if isinstance(averages, Mapping) else None
    weights = averaged or weights_in(found.state.get(WEIGHTS))
    if weights is None:
        held = ", ".join(str(name) for name in found.state) or "nothing"
        raise CheckpointError(f"`{found.path}` must hold weights as `{WEIGHTS}`, but got only {held}.")
    return weights, averaged is not None


def export_weights(found: Translated, out: Path) -> bool:
    """Writes the weights of a checkpoint and nothing else, durably, and says whether they are averaged.

    A `.pth` is a bare state dict that plain `torch.load(path, weights_only=True)` opens.

    Raises:
        CheckpointError: When it holds no weights, or such as the format cannot hold.
        OSError: When the disk refuses; what stood there before still stands.
    """
    weights, is_averaged = weights_to_export(found)
    durable.make_folder(out.parent)
    with durable.replacing(out) as descriptor:
        if out.suffix == SAFETENSORS:
            counted = {name: str(found.state[name]) for name in ("epoch", "step") if name in found.state}
            write_safetensors(descriptor, weights, {"format": "pt", **counted})
        else:
            archive.write(descriptor, weights)
    return is_averaged


def import_checkpoint(found: Translated, out: Path, *, counters: Mapping[str, int]) -> None:
    """Writes a translated checkpoint as one of ours, durably.

    Counters that nobody knows are 0. What its first writer never had is noted in the metadata, so that going on from
    it starts that anew and says so.

    Args:
        found: The checkpoint.
        out: Where it goes.
        counters: What is known better than the file says it.

    Raises:
        OSError: When the disk refuses; what stood there before still stands.
    """
    known = {**found.state, **counters}
    state: dict[str, Any] = {
        "version": VERSION,
        "stage": "train",
        **{name: known.get(name) or 0 for name in ("epoch", "step", "samples")},
        "scaler_state_dict": None,
        "ema_state_dict": None,
        **dict.fromkeys(("metric", "best_metric", "best_step")),
        "metrics": {},
        **known,
        "metadata": {"system": None, "stage": "train", IMPORTED: _origin(found, counters)},
        "timestamp": datetime.now().isoformat(timespec="seconds"),
    }
    durable.make_folder(out.parent)
    with durable.replacing(out) as descriptor:
        archive.write(descriptor, state)


def _origin(found: Translated, counters: Mapping[str, int]) -> dict[str, Any]:
    return {
        "from": str(found.path),
        "layout": found.layout,
        "absent": [part for part in found.absent if part not in counters],
        "missing": [part for part in found.missing if part not in counters],
        "in_order": found.in_order,
        "left": [f"{one.name}: {one.why}" for one in found.left],
    }
