"""All layers together, typed: the configuration that a run is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from holdfast.config.layers import Layer, default_layer
from holdfast.config.merging import merge
from holdfast.config.mistakes import Mistake, explain
from holdfast.config.outline import nearest
from holdfast.config.section import Section
from holdfast.config.stages import StagePlan, keys_of_a_stage, plan_stages
from holdfast.config.tree import Node, Origin, dotted
from holdfast.errors import ConfigError

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A configuration with nothing left open."""

    config: S
    """The typed configuration."""
    values: dict[str, Any]
    """Every key as plain values, ready for JSON."""
    origins: dict[str, str]
    """Where each value comes from, by dotted key."""
    stage: str | None
    """The stage that this is the configuration of; None for what all stages share."""


def resolve(
    schema: type[S], layers: Sequence[Layer], *, stage: str | None = None, overrides: Layer | None = None
) -> Resolved[S]:
    """Lays defaults, layers, a stage and the command line over one another, each over those before it.

    Every stage is checked, whichever is asked for.

    Args:
        schema: The typed configuration; its defaults are the lowest layer.
        layers: What lies over the defaults, lowest first.
        stage: The stage whose configuration is wanted.
        overrides: What wins over everything, the command line.

    Raises:
        ConfigError: All mistakes at once.
    """
    base = _laid_over(default_layer(schema).documents[0], layers, schema)
    top = [overrides] if overrides else []
    whole = _laid_over(base, top, schema)
    plans, mistakes = plan_stages(whole)
    config, found = _checked(whole, schema, top_keys=list(schema.model_fields))
    mistakes += found
    for plan in plans:
        tree = _laid_over(merge(base, plan.overrides, schema), top, schema)
        stage_config, found = _checked(tree, schema, top_keys=keys_of_a_stage(schema))
        mistakes += found
        if plan.name == stage:
            config, whole = stage_config, tree
    lines = _sorted_lines(mistakes)
    if stage is not None and not _is_known(stage, plans):
        lines.append(_unknown_stage(stage, plans))
    if lines or config is None:
        raise ConfigError(*lines)
    values = config.model_dump(mode="json")
    return Resolved(config, values, _origins(values, whole), stage if plans else None)


def _laid_over(base: Node, layers: Sequence[Layer], schema: type[Section]) -> Node:
    for layer in layers:
        for document in layer.documents:
            base = merge(base, document, schema)
    return base


def _checked(tree: Node, schema: type[S], *, top_keys: Sequence[str]) -> tuple[S | None, list[Mistake]]:
    try:
        return schema.model_validate(tree.plain()), []
    except ValidationError as error:
        return None, explain(error.errors(include_url=False), tree, schema, top_keys=top_keys)


def _sorted_lines(mistakes: Sequence[Mistake]) -> list[str]:
    """Gives the lines in the order in which a file has them; what several stages share is said once."""
    first: dict[tuple[Origin, str], Mistake] = {}
    for mistake in mistakes:
        first.setdefault((mistake.origin, mistake.key), mistake)
    in_order = sorted(
        first.values(), key=lambda each: (each.origin.source, each.origin.line or 0, each.origin.column or 0)
    )
    return [str(mistake) for mistake in in_order]


def _is_known(stage: str, plans: Sequence[StagePlan]) -> bool:
    # A run without stages has one, and that is its name.
    return stage in [plan.name for plan in plans] or (not plans and stage == "train")


def _unknown_stage(stage: str, plans: Sequence[StagePlan]) -> str:
    names = [plan.name for plan in plans] or ["train"]
    near = nearest(stage, names)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"`stage` must be one of {', '.join(names)}, but got {stage!r}{hint}"


def _origins(values: dict[str, Any], tree: Node) -> dict[str, str]:
    origins = {}
    for path, _ in Node.of(values, Origin("values")).leaves():
        node = tree.get(path)
        origins[dotted(path)] = str(node.origin) if node else "default"
    return origins
