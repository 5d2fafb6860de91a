"""The layers of a configuration: the defaults, files with what they extend, and plain values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from holdfast.config.document import read_document
from holdfast.config.merging import merge
from holdfast.config.section import Section
from holdfast.config.tree import Node, Origin, dotted
from holdfast.errors import ConfigError


@dataclass(frozen=True)
class Layer:
    """One source of configuration, to be laid over others."""

    name: str
    documents: tuple[Node, ...]
    """What it consists of, lowest first: a file comes after those that it extends."""

    @property
    def values(self) -> dict[str, Any]:
        """What the layer says by itself, as plain nested values."""
        return self._merged().plain()

    @property
    def origins(self) -> dict[str, Origin]:
        """Where each value of the layer was written, by dotted key."""
        return {dotted(path): node.origin for path, node in self._merged().leaves()}

    def _merged(self) -> Node:
        return reduce(lambda low, high: merge(low, high, None), self.documents)


def default_layer(schema: type[Section]) -> Layer:
    """Gives every key of a schema with its default."""
    return plain_layer(schema().model_dump(mode="json"), "default")


def plain_layer(values: Mapping[str, Any], source: str) -> Layer:
    """Gives values that come from Python or a checkpoint.

    Args:
        values: Nested plain values.
        source: What to call their origin, for example "checkpoint".
    """
    return Layer(source, (Node.of(values, Origin(source)),))


def load_layer(path: Path, *, label: str | None = None) -> Layer:
    """Reads a YAML file and, below it, the files that it `extends`.

    Args:
        path: The file; `extends` in it is relative to its folder.
        label: What to call the file in messages instead of its path, for example "preset tiny".

    Raises:
        ConfigError: When a file of the chain is missing, unreadable, circular or not a YAML mapping.
    """
    documents: list[Node] = []
    chain: list[Path] = []
    asked_at, label_here = "", label
    here: Path | None = path
    while here is not None:
        chain.append(here)
        shown = label_here or _shown(here)
        root = read_document(_read_text(chain, asked_at, shown), shown)
        asked_at, label_here = "", None
        extends = root.content.get("extends")
        here = None
        if extends is not None:
            asked_at = f"{extends.origin}: "
            here = chain[-1].parent / _file_name(extends)
        documents.insert(0, Node({key: node for key, node in root.content.items() if key != "extends"}, root.origin))
    return Layer(label or _shown(path), tuple(documents))


def _file_name(extends: Node) -> str:
    if not isinstance(extends.content, str) or not extends.content:
        raise ConfigError(f"{extends.origin}: `extends` must be the name of one file, but got {extends.plain()!r}")
    return extends.content


def _read_text(chain: Sequence[Path], asked_at: str, shown: str) -> str:
    """Gives the text of the last file of a chain; the position at which it was asked for begins the messages."""
    path = chain[-1]
    steps = " -> ".join(map(_shown, chain))
    if any(path.resolve() == each.resolve() for each in chain[:-1]):
        raise ConfigError(f"{asked_at}`extends` must not be circular, but got {steps}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        if asked_at:
            raise ConfigError(f"{asked_at}`extends` must name a file that exists, but got {steps}") from error
        raise ConfigError(f"{shown}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: must be UTF-8 text, but byte {error.start} is not; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{asked_at}{shown} cannot be read: {error.strerror}") from error


def _shown(path: Path) -> str:
    """Gives a path as seen from the current folder when it lies below it, else as it was given."""
    whole, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(whole, here) if whole.startswith(here.rstrip(os.sep) + os.sep) else os.path.normpath(path)
