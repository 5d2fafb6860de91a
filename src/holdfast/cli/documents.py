"""JSON documents on standard output."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(document: Any) -> str:
    """Gives a document as JSON; infinite and undefined numbers, for which JSON has no word, are null."""
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def print_json(document: Any) -> None:
    """Prints one document and nothing else."""
    print(json_text(document))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
