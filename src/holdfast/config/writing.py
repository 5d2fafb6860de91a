"""Configurations as files: YAML to read and edit, and a JSON Schema for editors."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import Node
from ruamel.yaml.representer import SafeRepresenter

from holdfast.config.section import Section
from holdfast.config.stages import OWN_KEYS, keys_of_a_stage


def to_yaml(values: Mapping[str, Any]) -> str:
    """Gives plain values as YAML in block style, which reads back value for value."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 4096
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda data: True
    yaml.representer.add_representer(str, _represent_text)
    stream = io.StringIO()
    yaml.dump(dict(values), stream)
    return stream.getvalue()


def _represent_text(representer: SafeRepresenter, text: str) -> Node:
    # Line breaks of every alphabet survive only as escapes.
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


def json_schema(schema: type[Section]) -> dict[str, Any]:
    """Gives a JSON Schema for files of this configuration, for completion and checks in editors.

    Nothing is required in it, for a file says only what differs; `extends` is a key; where a name chooses a section,
    the name alone will do.
    """
    document: dict[str, Any] = _loosened(schema.model_json_schema())
    properties = document["properties"]
    properties["extends"] = {"type": "string", "description": "A file below this one, relative to this file."}
    stage = document.get("$defs", {}).get("Stage")
    if stage is not None:
        shared = {key: properties[key] for key in keys_of_a_stage(schema) if key in properties}
        epochs = {"type": "integer", "exclusiveMinimum": 0, "description": "The stage's training.epochs."}
        own = {key: value for key, value in stage["properties"].items() if key in OWN_KEYS}
        stage["properties"] = own | {"epochs": epochs} | shared
        stage["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def _loosened(part: Any) -> Any:
    if isinstance(part, list):
        return [_loosened(each) for each in part]
    if not isinstance(part, dict):
        return part
    loose = {
        key: _loosened(value) for key, value in part.items() if not (key == "required" and isinstance(value, list))
    }
    mapping = part.get("discriminator", {}).get("mapping") if isinstance(part.get("discriminator"), dict) else None
    if mapping:
        del loose["discriminator"]
        loose["anyOf"] = [{"enum": list(mapping)}, *loose.pop("oneOf")]
    return loose
