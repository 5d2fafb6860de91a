"""A checkpoint of ours, also one that was imported: then it says itself what its first writer never had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.checkpoint.layouts.layout import PARTS, Translated
from holdfast.checkpoint.layouts.source import Source

IMPORTED = "imported"
"""The key of the metadata under which an imported checkpoint keeps where it came from."""


class Native:
    """What Holdfast writes."""

    name = "Holdfast"

    def recognises(self, source: Source) -> bool:
        """Says whether Holdfast wrote the file, and more into it than weights."""
        return source.is_ours and isinstance(source.keys.get("version"), int)

    def translate(self, source: Source) -> Translated:
        """Gives the state as it is; without the empty places of what an imported one never had."""
        metadata = source.keys.get("metadata")
        imported = metadata.get(IMPORTED) if isinstance(metadata, Mapping) else None
        origin = imported if isinstance(imported, Mapping) else {}
        absent, missing = (_names(origin.get(name)) for name in ("absent", "missing"))
        state = {name: value for name, value in source.keys.items() if name not in (*absent, *missing)}
        never = tuple(part for part in PARTS if part in absent)
        return Translated(self.name, source.path, state, absent=never, in_order=origin.get("in_order") is not False)


def _names(value: Any) -> tuple[str, ...]:
    """Gives the names in a list from a file, which may be anything."""
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list | tuple) else ()
