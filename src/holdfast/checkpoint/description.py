"""What is in a checkpoint, ours or foreign, as one value: for looking at, on a screen or by a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast.checkpoint.contents import as_json, bytes_of, entries, in_words, tensors_in, type_of
from holdfast.checkpoint.foreign.safetensors import METADATA
from holdfast.checkpoint.layouts import reading
from holdfast.checkpoint.layouts.layout import WEIGHTS, Layout, Left, Translated
from holdfast.checkpoint.layouts.native import IMPORTED
from holdfast.checkpoint.layouts.parts import is_optimizer, number
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.outline import outline
from holdfast.errors import CheckpointMismatch

_COUNTERS = ("stage", "epoch", "step", "samples")
_SCORES = ("metric", "best_metric", "best_step", "metrics")
_WRITERS = ("mmengine_version", "mmcv_version", "time")


@dataclass(frozen=True)
class Weight:
    """One tensor of a network."""

    name: str
    shape: tuple[int, ...]
    type: str
    numbers: int
    bytes: int


@dataclass(frozen=True)
class Moments:
    """What an optimizer remembers."""

    parameters: int
    """Of how many parameters."""
    moments: tuple[str, ...]
    rates: tuple[float, ...]
    """One for each group."""
    bytes: int


@dataclass(frozen=True)
class Part:
    """One entry at the top of a checkpoint."""

    name: str
    what: str
    tensors: int
    bytes: int


@dataclass(frozen=True)
class Description:
    """What is in a checkpoint."""

    path: Path
    layout: str | None
    """Who lays it out so; None when no layout recognises it."""
    containers: Mapping[str, str]
    """How its files are packed."""
    size: int
    """Bytes on the disk."""
    translated: Translated
    """The same in our words."""
    weights: Sequence[Weight]
    averaged: Sequence[Weight]
    optimizer: Moments | None
    parts: Sequence[Part]
    """What lies at the top, by its writer's names."""
    origin: Mapping[str, Any]
    """What it says of where it comes from."""
    content: Any
    """All that is in it, as its writer laid it out."""

    @property
    def counters(self) -> dict[str, Any]:
        """How much is done, as far as it says so."""
        return {name: self._state[name] for name in _COUNTERS if self._state.get(name) is not None}

    @property
    def scores(self) -> dict[str, Any]:
        """The metrics, as far as there are some."""
        return {name: self._state[name] for name in _SCORES if self._state.get(name) not in (None, {})}

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings; empty when there are none."""
        config = self._state.get("config")
        return config if isinstance(config, Mapping) else {}

    @property
    def left(self) -> Sequence[Left]:
        """What would not be taken on importing it."""
        return self.translated.left

    @property
    def _state(self) -> Mapping[str, Any]:
        return self.translated.state

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        return {
            "path": str(self.path),
            "layout": self.layout,
            "containers": dict(self.containers),
            "bytes": self.size,
            **{name: self._state.get(name) for name in _COUNTERS},
            **{name: as_json(self._state.get(name)) for name in _SCORES},
            "keys": [asdict(part) for part in self.parts],
            "parameters": [asdict(weight) for weight in self.weights],
            "parameter_count": sum(weight.numbers for weight in self.weights),
            "parameter_bytes": sum(weight.bytes for weight in self.weights),
            "has_average": bool(self.averaged),
            "has_optimizer": self.optimizer is not None,
            "optimizer": asdict(self.optimizer) if self.optimizer else None,
            "config": as_json(self.config),
            "origin": as_json(self.origin),
            "never_there": list(self.translated.absent),
            "not_taken": [asdict(one) for one in self.left],
            "notes": list(self.translated.notes),
            "unknown_objects": list(self.translated.opaque),
        }


def describe(path: str | Path, extra_layouts: Sequence[Layout] = ()) -> Description:
    """Gives what is in a checkpoint. Of one of ours the bytes of the tensors are not read.

    Raises:
        UserError: When there is nothing of that name.
        DamagedCheckpoint: When it is one of ours and damaged.
        CheckpointError: When its content is refused.
    """
    place = reading.existing(path)
    source = Source(place, ours=reading.when_ours(place, outline))
    layout = reading.recognised(source, extra_layouts)
    if layout is None and source.is_folder:
        raise reading.unknown(source, extra_layouts)
    translated = _translated(source, layout)
    content = {name: source.read(name) for name in sorted(source.containers)} if source.is_folder else source.content
    averages = translated.state.get("ema_state_dict")
    return Description(
        path=place,
        layout=layout.name if layout else None,
        containers=source.containers,
        size=sum((place / name).stat().st_size for name in source.names) if source.is_folder else place.stat().st_size,
        translated=translated,
        weights=weights_of(translated.state.get(WEIGHTS)),
        averaged=weights_of(averages.get(WEIGHTS)) if isinstance(averages, Mapping) else (),
        optimizer=_moments(translated.state.get("optimizer_state_dict")),
        parts=[Part(str(name), in_words(value), *tensors_in(value)) for name, value in entries(content)],
        origin=_origin(source.keys),
        content=content,
    )


def weights_of(weights: Any) -> tuple[Weight, ...]:
    """Gives the tensors of a state dict, in order."""
    if not isinstance(weights, Mapping):
        return ()
    return tuple(
        Weight(str(name), tuple(one.shape), type_of(one), one.numel(), bytes_of(one))
        for name, one in weights.items()
        if isinstance(one, Tensor)
    )


def _translated(source: Source, layout: Layout | None) -> Translated:
    """Gives a checkpoint in our words, as far as that is possible: looking at it never fails for what it lacks."""
    name = layout.name if layout else "unknown"
    try:
        if layout is not None:
            return layout.translate(source)
        note = "no layout recognises it; --tree shows all that is in it"
    except CheckpointMismatch as error:
        note = str(error)
    if not source.is_folder:
        source.read(source.path.name)
    return Translated(name, source.path, {}, notes=(note,), opaque=source.opaque)


def _moments(optimizer: Any) -> Moments | None:
    if not is_optimizer(optimizer):
        return None
    names = (str(name) for held in optimizer["state"].values() for name in held if name != "step")
    rates = (number(group.get("lr")) for group in optimizer["param_groups"])
    return Moments(
        parameters=len(optimizer["state"]),
        moments=tuple(dict.fromkeys(names)),
        rates=tuple(float(rate) for rate in rates if rate is not None),
        bytes=tensors_in(optimizer)[1],
    )


def _origin(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what a checkpoint says of when, where and by what it was written."""
    found = {name: keys[name] for name in ("timestamp", "pytorch-lightning_version") if name in keys}
    metadata, meta = (keys.get(name) for name in ("metadata", "meta"))
    known = _named(metadata)
    known |= _named(keys.get(METADATA))
    known.pop("stage", None)
    imported = known.pop(IMPORTED, None)
    known |= {f"imported {name}": value for name, value in _named(imported).items() if name in ("from", "layout")}
    known |= {name: value for name, value in _named(meta).items() if name in _WRITERS}
    return {name: value for name, value in {**found, **known}.items() if value not in (None, "", {})}


def _named(value: Any) -> dict[str, Any]:
    return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}
