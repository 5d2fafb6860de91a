"""Any checkpoint, ours or foreign, in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.checkpoint import archive
from holdfast.checkpoint.foreign.refusals import shown
from holdfast.checkpoint.layout import LayoutError
from holdfast.checkpoint.layouts.accelerate_folder import AccelerateFolder
from holdfast.checkpoint.layouts.layout import Layout, Translated
from holdfast.checkpoint.layouts.lightning import Lightning
from holdfast.checkpoint.layouts.mmengine import MMEngine
from holdfast.checkpoint.layouts.native import Native
from holdfast.checkpoint.layouts.script import PlainScript
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.trainer_folder import TrainerFolder
from holdfast.checkpoint.layouts.weights import BareWeights, ModelFolder
from holdfast.errors import CheckpointError, DamagedCheckpoint, UserError

LAYOUTS: tuple[Layout, ...] = (
    *(Lightning(), MMEngine(), PlainScript(), BareWeights()),
    *(TrainerFolder(), AccelerateFolder(), ModelFolder()),
)
"""Those that everybody may meet, the most particular first."""


def read_any(path: str | Path, extra_layouts: Sequence[Layout] = ()) -> Translated:
    """Gives a checkpoint in our words, whoever wrote it; nothing that it holds is run.

    One of ours is checked byte by byte. Anything else is translated by the first layout that recognises it.

    Args:
        path: A file, or a folder as some libraries write them.
        extra_layouts: Those of a system, which are asked first.

    Raises:
        UserError: When there is nothing of that name.
        DamagedCheckpoint: When it is one of ours and a byte is not what was written.
        CheckpointError: When no layout recognises it, or its content is refused.
    """
    place = existing(path)
    source = Source(place, ours=when_ours(place, archive.read))
    layout = recognised(source, extra_layouts)
    if layout is None:
        raise unknown(source, extra_layouts)
    return layout.translate(source)


def recognised(source: Source, extra_layouts: Sequence[Layout] = ()) -> Layout | None:
    """Gives the first layout that recognises a source; None when none does."""
    return next((layout for layout in (Native(), *extra_layouts, *LAYOUTS) if layout.recognises(source)), None)


def existing(path: str | Path) -> Path:
    """Gives the path, when there is something.

    Raises:
        UserError: When there is not.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"`{path}` must be a checkpoint, but there is nothing of that name; look at the spelling.")
    if not place.is_file() and not place.is_dir():
        raise UserError(f"`{path}` must be a file or a folder, but got neither; name a checkpoint.")
    return place


def when_ours(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any] | None:
    """Gives what `read` makes of a file that Holdfast wrote; None for anything else.

    Raises:
        DamagedCheckpoint: When Holdfast wrote it and a byte is not what was written.
        CheckpointError: When a newer Holdfast wrote it.
    """
    if not path.is_file():
        return None
    try:
        return read(path)
    except DamagedCheckpoint:
        raise
    except CheckpointError as error:
        # Only what never was in our format may be read as something else: not what a newer Holdfast wrote.
        if isinstance(error.__cause__, LayoutError):
            return None
        raise


def unknown(source: Source, extra_layouts: Sequence[Layout]) -> CheckpointError:
    """Gives the error for a source that no layout recognises."""
    names = ", ".join(layout.name for layout in (*extra_layouts, *LAYOUTS))
    advice = "name a checkpoint in it" if source.is_folder else "look into it with `holdfast inspect --tree`"
    if source.is_folder and any(name.endswith(".distcp") for name in source.names):
        advice = "make one file of its shards by `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`"
    return CheckpointError(
        f"`{source.path}` must be a checkpoint in a known layout ({names}), but got {_in_words(source)}; {advice}."
    )


def _in_words(source: Source) -> str:
    if source.is_folder:
        inner = [f"{path.name}/" for path in source.path.iterdir() if path.is_dir()]
        return f"a folder with {_listed(sorted([*inner, *source.names])) or 'nothing in it'}"
    content = source.content
    if isinstance(content, Mapping):
        return f"a dictionary of {_listed([str(key) for key in content]) or 'nothing'}"
    return f"a {type(content).__name__}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
