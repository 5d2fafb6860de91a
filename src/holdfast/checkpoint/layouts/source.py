"""What a person points at: a foreign file or folder, each file of it read safely, and only when asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from holdfast.checkpoint.foreign.opening import Opened, open_file
from holdfast.checkpoint.foreign.refusals import shown
from holdfast.errors import CheckpointError, UnsafeFile

_LARGEST_JSON = 64 << 20
OURS = "a file of Holdfast"
"""The container of the files that Holdfast itself writes."""


class Source:
    """A foreign checkpoint on the disk, for a layout to look at: like a dictionary of file names and contents.

    Args:
        path: A file or a folder.
        ours: What the file holds, when it is one that Holdfast wrote.
    """

    def __init__(self, path: Path, *, ours: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.is_folder = path.is_dir()
        self.is_ours = ours is not None
        self._read: dict[str, Opened] = {}
        if ours is not None:
            self._read[path.name] = Opened(path=path, container=OURS, content=dict(ours), opaque=())

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the files in the folder; for a file, of those beside it."""
        folder = self.path if self.is_folder else self.path.parent
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())

    @property
    def content(self) -> Any:
        """What the file holds; nothing for a folder."""
        return None if self.is_folder else self.read(self.path.name)

    @property
    def keys(self) -> Mapping[str, Any]:
        """What the file holds by its names; empty when it holds anything but a dictionary."""
        content = self.content
        if not isinstance(content, Mapping):
            return {}
        return {key: value for key, value in content.items() if isinstance(key, str)}

    @property
    def opaque(self) -> tuple[str, ...]:
        """The objects of unknown classes in what has been read so far."""
        return tuple(dict.fromkeys(name for opened in self._read.values() for name in opened.opaque))

    @property
    def containers(self) -> dict[str, str]:
        """How the files that have been read so far are packed, by their names."""
        return {name: opened.container for name, opened in self._read.items()}

    def read(self, name: str) -> Any:
        """Gives what a file of the folder, or one beside the file, holds.

        Raises:
            CheckpointError: When it is not there, is refused, or lies elsewhere.
        """
        if name not in self._read:
            self._read[name] = open_file(self._place(name))
        return self._read[name].content

    def read_json(self, name: str) -> dict[str, Any]:
        """Gives the object in a JSON file.

        Raises:
            CheckpointError: When it is not there, not an object, or too large.
        """
        if name in self._read:
            return self._read[name].content
        path = self._place(name)
        if path.stat().st_size > _LARGEST_JSON:
            raise CheckpointError(f"`{path}` must be JSON of at most {_LARGEST_JSON >> 20} MiB, but got more.")
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"`{path}` must be JSON, but got something else ({error}); bring it back.") from error
        if not isinstance(found, dict):
            raise CheckpointError(f"`{path}` must hold a JSON object, but got {type(found).__name__}; bring it back.")
        self._read[name] = Opened(path=path, container="JSON", content=found, opaque=())
        return found

    def _place(self, name: str) -> Path:
        """Gives the path of a file; one that leads elsewhere is refused, for names come from inside files, too."""
        if name in ("", ".", "..") or name != Path(name).name or "\\" in name or "\0" in name:
            raise UnsafeFile(
                f"`{self.path}` must name files of its own folder only, but got {shown(name)}; it is refused."
            )
        path = (self.path if self.is_folder else self.path.parent) / name
        if not path.is_file():
            raise CheckpointError(
                f"`{self.path}` must come with {shown(name)}, but there is no such file; bring it back."
            )
        return path
