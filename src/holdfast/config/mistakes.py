"""What is wrong with a configuration, said in lines that name the place and the key that was meant."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from holdfast.config.outline import keys_of, nearest
from holdfast.config.section import Section, chosen, item_sections_in, name_of, sections_in
from holdfast.config.tree import KeyPath, Node, Origin, dotted

_RULES = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "string_type": "a text",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class Mistake:
    """One mistake and where it was written."""

    origin: Origin
    key: str
    """The dotted key that it is about."""
    text: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


@dataclass(frozen=True)
class _Place:
    path: KeyPath
    owner: type[Section]
    """The section that the last key belongs to, or should."""
    siblings: tuple[type[Section], ...] = ()
    """The sections among which the owner was chosen by name."""
    sections: tuple[type[Section], ...] = ()
    """The sections that may stand at the path."""


def explain(
    errors: Iterable[ErrorDetails], tree: Node, schema: type[Section], *, top_keys: Sequence[str]
) -> list[Mistake]:
    """Gives one mistake for every key that the typed schema refused.

    Args:
        errors: What pydantic found.
        tree: The configuration that it looked at.
        schema: What it should have been.
        top_keys: The keys that may stand at the top.
    """
    found: dict[KeyPath, list[tuple[_Place, ErrorDetails]]] = {}
    for error in errors:
        place = _locate(error["loc"], tree, schema)
        found.setdefault(place.path, []).append((place, error))
    # Of a list that no type of a union accepts, the items that are wrong say more than the list.
    deepest = [
        path for path in found if not any(len(path) < len(other) and other[: len(path)] == path for other in found)
    ]
    return [_explain_one(found[path], tree, schema, top_keys) for path in deepest]


def _locate(loc: Sequence[str | int], tree: Node, schema: type[Section]) -> _Place:
    """Gives the place that pydantic means: it also names the variants and types that it tried."""
    steps, path = deque(loc), ()
    owner, siblings = schema, ()
    while steps:
        path = (*path, steps.popleft())
        field = owner.model_fields.get(str(path[-1]))
        if field is None:
            return _Place(path, owner, siblings)
        sections = sections_in(field.annotation)
        items = item_sections_in(field.annotation)
        if items and steps and isinstance(steps[0], int):
            path, sections = (*path, steps.popleft()), items
        if not sections or not steps:
            path = _extended(path, steps, tree)
            return _Place(path, owner, siblings, sections)
        inner = chosen(sections, steps.popleft() if len(sections) > 1 else None)
        if inner is None:
            return _Place(path, owner, siblings, sections)
        owner, siblings = inner, sections
    return _Place(path, owner, siblings, (owner,))


def _extended(path: KeyPath, steps: Iterable[str | int], tree: Node) -> KeyPath:
    """Goes on into a plain value as far as the steps exist there; the others are names of types."""
    for step in steps:
        if tree.get((*path, step)) is not None:
            path = (*path, step)
    return path


def _explain_one(
    found: Sequence[tuple[_Place, ErrorDetails]], tree: Node, schema: type[Section], top_keys: Sequence[str]
) -> Mistake:
    place, error = found[0]
    origin = tree.nearest(place.path).origin
    key, kind = dotted(place.path), error["type"]
    if kind == "extra_forbidden":
        known = place.owner.model_fields if len(place.path) > 1 else top_keys
        return Mistake(origin, key, _unknown_key(place, sorted(known), schema))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        named = (*place.path, "name")
        return Mistake(tree.nearest(named).origin, key, _unknown_name(named, place, tree))
    if kind in ("value_error", "assertion_error"):
        return Mistake(origin, key, _own_words(place, str(error.get("ctx", {}).get("error", error["msg"]))))
    if kind == "missing":
        return Mistake(origin, key, f"`{key}` must be given, but is missing")
    return Mistake(origin, key, _broken_rule(place, [error for _, error in found]))


def _unknown_key(place: _Place, known: Sequence[str], schema: type[Section]) -> str:
    path, word = dotted(place.path), str(place.path[-1])
    listed = f"known keys here: {', '.join(known)}" if known else "there are no keys here"
    others = [name_of(each) for each in place.siblings if each is not place.owner and word in each.model_fields]
    if others:
        listed = f"it belongs to {' and '.join(others)}, but the name here is {name_of(place.owner)}; {listed}"
    return f"unknown key '{path}'{_hint_for_key(word, path, known, schema)}; {listed}"


def _hint_for_key(word: str, path: str, known: Sequence[str], schema: type[Section]) -> str:
    everywhere = keys_of(schema)
    same = [key.path for key in everywhere.values() if key.word == word and key.path != path]
    near = nearest(word, known)
    if not same and not near:
        words = {key.word: key.path for key in everywhere.values() if key.path != path}
        near = [words[each] for each in nearest(word, words)]
    return _did_you_mean(same[:3] or near)


def _unknown_name(path: KeyPath, place: _Place, tree: Node) -> str:
    node = tree.get(path)
    names = [str(name_of(section)) for section in place.sections]
    rule = f"`{dotted(path)}` must be one of {', '.join(names)}"
    if node is None:
        return f"{rule}, but is missing"
    near = nearest(node.content, names) if isinstance(node.content, str) else []
    return f"{rule}, but got {_shown(node)}{_did_you_mean(near)}"


def _own_words(place: _Place, message: str) -> str:
    """Gives the message of a validator; one that begins with `must` speaks of the key itself."""
    if not place.path:
        return message
    key = dotted(place.path)
    return f"`{key}` {message}" if message.startswith("must ") else f"`{key}`: {message}"


def _broken_rule(place: _Place, errors: Sequence[ErrorDetails]) -> str:
    key, value = dotted(place.path), errors[0]["input"]
    if place.sections:
        names = [str(name_of(section)) for section in place.sections] if len(place.sections) > 1 else []
        rule = f"one of {', '.join(names)}, or a mapping" if names else "a mapping of keys"
        return f"`{key}` must be {rule}, but got {_shown(value)}"
    rules = list(dict.fromkeys(_rule(error) for error in errors))
    hint = ""
    if rules == ["be a text"] and isinstance(value, int | float):
        hint = "; put it into quotes"
    if errors[0]["type"] == "literal_error" and isinstance(value, str):
        hint = _did_you_mean(nearest(value, re.findall(r"'([^']*)'", errors[0].get("ctx", {})["expected"])))
    return f"`{key}` must {' or '.join(rules).replace(' or be ', ' or ')}, but got {_shown(value)}{hint}"


def _rule(error: ErrorDetails) -> str:
    if error["type"] in _RULES:
        return f"be {_RULES[error['type']]}"
    if error["type"] == "literal_error":
        return f"be one of {re.sub(' or ', ', ', error.get('ctx', {})['expected']).replace(chr(39), '')}"
    words = error["msg"]
    return words[len("Input should ") :] if words.startswith("Input should ") else f"fit ({words})"


def _did_you_mean(candidates: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(repr(each) for each in candidates)}?)" if candidates else ""


def _shown(value: Any) -> str:
    value = value.plain() if isinstance(value, Node) else value
    text = (
        {None: "nothing", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    )
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
