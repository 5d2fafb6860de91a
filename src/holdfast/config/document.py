"""YAML 1.2 documents as trees with the line and column of every key.

`1e-3` is a number, `on` and dates are text, a key that stands twice is a mistake.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from holdfast.config.tree import Node, Origin
from holdfast.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_NUMBERS_AND_WORDS = {_TAG + kind for kind in ("int", "float", "bool", "null")}
_TEXTS = {_TAG + "str", _TAG + "timestamp"}


def read_document(text: str, source: str) -> Node:
    """Gives the mapping that a YAML document holds; an empty document is an empty mapping.

    Args:
        text: The document.
        source: What the origins say before line and column.

    Raises:
        ConfigError: When this is not YAML, not a mapping, or a key stands twice.
    """
    top = _compose(text, source)
    if top is None or _is_null(top):
        return Node({}, Origin(source, 1, 1))
    reader = _Reader(source)
    root = reader.read(top, top.start_mark)
    if not isinstance(top, MappingNode):
        reader.note(top.start_mark, f"a configuration must be a mapping (`key: value`), but got {_kind(top)}")
    if reader.mistakes:
        raise ConfigError(*reader.mistakes)
    return root


def read_value(text: str) -> Any:
    """Gives the plain value of one word or flow of YAML, such as `5e-4`, `true` or `[[1, 640], [20, 800]]`.

    Raises:
        ConfigError: When this is not YAML.
    """
    top = _compose(text, "value")
    if top is None:
        return None
    reader = _Reader("value")
    root = reader.read(top, top.start_mark)
    if reader.mistakes:
        raise ConfigError(*reader.mistakes)
    return root.plain()


def _compose(text: str, source: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        raise ConfigError(f"{_at(source, mark)}: {error.problem}{context}") from error
    except YAMLError as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: is nested too deeply to be read") from error


class _Reader:
    """Turns YAML's nodes into ours and collects what is wrong with them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.mistakes: list[str] = []
        self._open: list[Any] = []
        self._scalars = YAML(typ="safe", pure=True).constructor

    def note(self, mark: Any, text: str) -> None:
        self.mistakes.append(f"{_at(self.source, mark)}: {text}")

    def read(self, node: Any, mark: Any) -> Node:
        """Gives a node whose origin is `mark`: that of its key, or its own."""
        origin = Origin(self.source, mark.line + 1, mark.column + 1)
        if node in self._open:
            self.note(mark, "an alias must not stand inside of what it repeats")
            return Node(None, origin)
        self._open.append(node)
        try:
            return Node(self._content(node), origin)
        finally:
            self._open.pop()

    def _content(self, node: Any) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node)
        if isinstance(node, SequenceNode):
            return [self.read(item, item.start_mark) for item in node.value]
        return self._scalar(node)

    def _mapping(self, node: MappingNode) -> dict[str, Node]:
        inherited: dict[str, Node] = {}
        own: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                inherited = self._merged(value_node) | inherited
                continue
            key, mark = self._key(key_node), key_node.start_mark
            if key in own:
                self.note(mark, f"the key {key!r} stands here a second time; the first is in line {lines[key]}")
            lines.setdefault(key, mark.line + 1)
            own[key] = self.read(value_node, mark)
        return inherited | own

    def _merged(self, node: Any) -> dict[str, Node]:
        """Gives what `<<:` brings in; of several mappings the first wins."""
        merged: dict[str, Node] = {}
        for source in reversed(node.value) if isinstance(node, SequenceNode) else [node]:
            content = self.read(source, source.start_mark).content
            if isinstance(content, dict):
                merged |= content
            else:
                self.note(source.start_mark, "`<<` must be followed by a mapping or a list of mappings")
        return merged

    def _key(self, node: Any) -> str:
        if isinstance(node, ScalarNode) and node.tag in _TEXTS:
            return node.value
        shown = node.value if isinstance(node, ScalarNode) else _kind(node)
        self.note(node.start_mark, f"a key must be a text, but got {shown}; put it into quotes")
        return str(shown)

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag in _TEXTS:
            return node.value
        if node.tag in _NUMBERS_AND_WORDS:
            try:
                return self._scalars.construct_object(node)
            except (ValueError, YAMLError, KeyError):
                pass
        self.note(node.start_mark, f"{node.value!r} cannot be read as {node.tag.removeprefix(_TAG)}")
        return None


def _at(source: str, mark: Any) -> str:
    return source if mark is None else f"{source}:{mark.line + 1}:{mark.column + 1}"


def _is_null(node: Any) -> bool:
    return isinstance(node, ScalarNode) and node.tag == _TAG + "null"


def _kind(node: Any) -> str:
    if isinstance(node, SequenceNode):
        return "a list"
    return "a mapping" if isinstance(node, MappingNode) else repr(node.value)
