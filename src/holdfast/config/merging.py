"""One configuration over another.

Mappings merge; lists and single values replace. Where a key offers several sections by `name`, another name replaces
the whole section: the keys of a small network mean nothing to a large one.
"""

from __future__ import annotations

from holdfast.config.section import Section, chosen, sections_in, written_out
from holdfast.config.tree import Node


def merge(low: Node, high: Node, schema: type[Section] | None) -> Node:
    """Gives `low` with everything that `high` says laid over it.

    Args:
        low: The lower configuration.
        high: The one that wins; its origins come along.
        schema: What the two are configurations of; None for plain mappings.
    """
    if not isinstance(low.content, dict) or not isinstance(high.content, dict):
        return high
    merged = dict(low.content)
    for key, node in high.content.items():
        merged[key] = _merge_key(merged.get(key), node, schema, key)
    return Node(merged, high.origin if high.content else low.origin)


def _merge_key(low: Node | None, high: Node, schema: type[Section] | None, key: str) -> Node:
    field = schema.model_fields.get(key) if schema else None
    if field is None:
        return merge(low, high, None) if low else high
    high = _written_out(high, field.annotation)
    sections = sections_in(field.annotation)
    if low is None or (len(sections) > 1 and _changes_name(low, high)):
        low = Node({}, high.origin)
    name = _name(high) if _name(high) is not None else _name(low)
    return merge(low, high, chosen(sections, name) if sections else None)


def _written_out(node: Node, annotation: object) -> Node:
    if isinstance(node.content, dict | list):
        return node
    value = written_out(node.content, annotation)
    return Node.of(value, node.origin) if isinstance(value, dict) else node


def _changes_name(low: Node, high: Node) -> bool:
    return _name(low) is not None and _name(high) is not None and _name(low) != _name(high)


def _name(node: Node) -> object:
    name = node.get(("name",))
    return name.content if name and isinstance(name.content, str) else None
