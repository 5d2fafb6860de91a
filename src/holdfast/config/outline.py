"""Every key that a schema can have, over all sections that a name may choose."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from holdfast.config.section import Section, alternatives, sections_in

Kind = Literal["text", "number", "whole number", "boolean", "null", "list", "mapping"]

_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


@dataclass(frozen=True)
class Key:
    """A key of a schema by its dotted path, and what may be written there."""

    path: str
    kinds: frozenset[Kind]
    is_plain_section: bool = False
    """Whether this is a section that no name chooses: it is written key by key."""

    @property
    def word(self) -> str:
        """The last word of the path."""
        return self.path.rpartition(".")[2]


def keys_of(schema: type[Section]) -> dict[str, Key]:
    """Gives every key of a schema by its dotted path, sections included."""
    keys: dict[str, Key] = {}
    for key in _walk(schema, ""):
        known = keys.get(key.path)
        keys[key.path] = key if known is None else Key(key.path, known.kinds | key.kinds, key.is_plain_section)
    return keys


def kind_of(value: Any) -> Kind:
    """Gives what a plain value is."""
    table: list[tuple[Any, Kind]] = [
        (NoneType, "null"),
        (bool, "boolean"),
        (int, "whole number"),
        (float, "number"),
        (_MAPPINGS, "mapping"),
        (str, "text"),
    ]
    for types, kind in table:
        if isinstance(value, types):
            return kind
    return "list"


def nearest(word: str, candidates: Iterable[str], *, limit: int = 1) -> list[str]:
    """Gives the candidates that a misspelled word most likely meant, the likeliest first."""
    known = list(dict.fromkeys(candidates))
    close = get_close_matches(word, known, n=limit, cutoff=0.6)
    # Very short words that differ in one letter lie below the usual bound.
    return close or [each for each in known if _is_one_edit_apart(word, each)][:limit]


def _is_one_edit_apart(one: str, other: str) -> bool:
    same = sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return same > 0 and max(len(one), len(other)) - same <= 1


def _walk(schema: type[Section], prefix: str) -> Iterator[Key]:
    for name, field in schema.model_fields.items():
        path = prefix + name
        sections = sections_in(field.annotation)
        yield Key(path, _kinds_in(field.annotation), is_plain_section=len(sections) == 1)
        for section in sections:
            yield from _walk(section, path + ".")


def _kinds_in(annotation: Any) -> frozenset[Kind]:
    kinds: set[Kind] = {kind for each in alternatives(annotation) for kind in _kinds_of_type(each)}
    if len(sections_in(annotation)) > 1:
        kinds.add("text")
    return frozenset(kinds)


def _kinds_of_type(each: Any) -> Iterable[Kind]:
    origin = get_origin(each) or each
    if origin is Literal:
        return {kind_of(value) for value in get_args(each)}
    if origin is Any or not isinstance(origin, type):
        return get_args(Kind)
    if issubclass(origin, NoneType):
        return ["null"]
    if issubclass(origin, bool):
        return ["boolean"]
    if issubclass(origin, int):
        return ["whole number"]
    if issubclass(origin, float):
        return ["number", "whole number"]
    if issubclass(origin, (*_MAPPINGS, Section)):
        return ["mapping"]
    return ["list"] if issubclass(origin, _LISTS) and not issubclass(origin, str) else ["text"]
