"""Checkpoints of others: the one place where their layouts are known."""

from holdfast.checkpoint.layouts.keyed import Keyed
from holdfast.checkpoint.layouts.layout import Layout, Left, Translated
from holdfast.checkpoint.layouts.reading import read_any
from holdfast.checkpoint.layouts.source import Source

__all__ = ["Keyed", "Layout", "Left", "Source", "Translated", "read_any"]
