"""The stages of a configuration: each is the whole configuration with a few keys laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.config.merging import merge
from holdfast.config.mistakes import Mistake
from holdfast.config.section import Section
from holdfast.config.tree import Node

OWN_KEYS = ("epochs", "init_from", "leave", "least_matched", "name")
"""Keys that only a stage has; its `epochs` are its `training.epochs`."""

SHARED_KEYS = ("stages", "system")
"""Keys that a stage cannot have otherwise than the rest."""


@dataclass(frozen=True)
class StagePlan:
    """A stage and what it lays over the configuration."""

    name: str
    overrides: Node


def keys_of_a_stage(schema: type[Section]) -> list[str]:
    """Gives the keys that may stand at the top of a stage."""
    return [*OWN_KEYS, *(key for key in schema.model_fields if key not in SHARED_KEYS)]


def plan_stages(whole: Node) -> tuple[list[StagePlan], list[Mistake]]:
    """Gives the stages of a configuration, and what is wrong with their list.

    What the typed schema refuses by itself (a stage that is no mapping, or has no name) is left out here.
    """
    stages = whole.get(("stages",))
    plans: list[StagePlan] = []
    mistakes: list[Mistake] = []
    for node in stages.content if stages and isinstance(stages.content, list) else []:
        if not isinstance(node.content, dict) or not isinstance(node.plain().get("name"), str):
            continue
        name = node.content["name"].content
        if name in [plan.name for plan in plans]:
            text = f"the stage {name!r} must be there once, but is there twice"
            mistakes.append(Mistake(node.content["name"].origin, "stages", text))
            continue
        mistakes += _misplaced(node, name)
        plans.append(StagePlan(name, _overrides(node)))
    return plans, mistakes


def _misplaced(stage: Node, name: str) -> Sequence[Mistake]:
    mistakes = [
        Mistake(stage.content[key].origin, key, f"`{key}` must be the same in all stages, but {name!r} has its own")
        for key in SHARED_KEYS
        if key in stage.content
    ]
    twice = stage.get(("training", "epochs"))
    if twice and "epochs" in stage.content:
        text = f"`training.epochs` must be given once in a stage, but {name!r} has `epochs`, too"
        mistakes.append(Mistake(twice.origin, "training.epochs", text))
    return mistakes


def _overrides(stage: Node) -> Node:
    left_out = (*OWN_KEYS, *SHARED_KEYS)
    rest = Node({key: node for key, node in stage.content.items() if key not in left_out}, stage.origin)
    epochs = stage.content.get("epochs")
    if epochs is None:
        return rest
    return merge(rest, Node({"training": Node({"epochs": epochs}, epochs.origin)}, epochs.origin), None)
