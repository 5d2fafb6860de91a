"""Holdfast: kill a run anywhere; it finishes with the same weights, bit for bit.

Importing this package does not import torch; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.api import Config as Config
    from holdfast.api import load_run as load_run
    from holdfast.api import train as train
    from holdfast.checkpoint.manager import CheckpointManager as CheckpointManager
    from holdfast.checkpoint.manager import load_checkpoint as load_checkpoint
    from holdfast.checkpoint.manager import save_checkpoint as save_checkpoint
    from holdfast.engine.opening import open_run as open_run
    from holdfast.engine.system import Data as Data
    from holdfast.engine.system import Loss as Loss
    from holdfast.engine.system import System as System

__version__ = "0.1.0.dev0"

_HOMES = {
    "CheckpointManager": "holdfast.checkpoint.manager",
    "Config": "holdfast.api",
    "Data": "holdfast.engine.system",
    "Loss": "holdfast.engine.system",
    "System": "holdfast.engine.system",
    "load_checkpoint": "holdfast.checkpoint.manager",
    "load_run": "holdfast.api",
    "open_run": "holdfast.engine.opening",
    "save_checkpoint": "holdfast.checkpoint.manager",
    "train": "holdfast.api",
}

__all__ = [
    "CheckpointManager",
    "Config",
    "Data",
    "Loss",
    "System",
    "__version__",
    "load_checkpoint",
    "load_run",
    "open_run",
    "save_checkpoint",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
