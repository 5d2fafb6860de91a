"""Configuration: YAML documents with line numbers, layers over one another, and a typed schema that checks them."""

from holdfast.config.layers import Layer, default_layer, load_layer, plain_layer
from holdfast.config.options import parse_options
from holdfast.config.resolve import Resolved, resolve
from holdfast.config.resume import Change, Changes, changes, refuse_changes
from holdfast.config.schema import (
    Adam,
    AdamW,
    Config,
    Constant,
    Cosine,
    DataSection,
    Linear,
    Logging,
    OneCycle,
    RunSection,
    Sgd,
    Stage,
    Step,
    Training,
)
from holdfast.config.section import Section
from holdfast.config.tree import Origin, flatten
from holdfast.config.writing import json_schema, to_yaml
from holdfast.errors import ConfigError

__all__ = [
    "Adam",
    "AdamW",
    "Change",
    "Changes",
    "Config",
    "ConfigError",
    "Constant",
    "Cosine",
    "DataSection",
    "Layer",
    "Linear",
    "Logging",
    "OneCycle",
    "Origin",
    "Resolved",
    "RunSection",
    "Section",
    "Sgd",
    "Stage",
    "Step",
    "Training",
    "changes",
    "default_layer",
    "flatten",
    "json_schema",
    "load_layer",
    "parse_options",
    "plain_layer",
    "refuse_changes",
    "resolve",
    "to_yaml",
]
