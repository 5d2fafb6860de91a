"""The shape of what a user brings: a value that holds plain functions, no base class.

A system reads like the method section of a paper: a configuration, and functions that turn it into
data, a model, a loss and metrics. Everything else (the loop, saving, resuming, curves) is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from holdfast.checkpoint.layouts.layout import Layout
from holdfast.config import Config, Section
from holdfast.data.scheduled import Schedule
from holdfast.data.split import Split


class Loss(NamedTuple):
    """The loss of one microbatch: a sum over what it counts, how much that is, and its named parts.

    `total / weight` is what is minimised. Because the sum and its weight are kept apart, accumulation,
    several ranks and a short last batch give the same gradient as one large batch would.
    """

    total: Tensor
    """Sum over samples (tokens, boxes, ...), with a gradient."""
    weight: float
    """How many samples (tokens, boxes, ...) were summed."""
    parts: Mapping[str, Tensor | float] = {}
    """Named parts for the curves, each a mean over this microbatch."""
    outputs: Any = None
    """What the model gave, handed on to the metrics during evaluation."""


LossFunction = Callable[[nn.Module, Any], Loss]


class Metrics(Protocol):
    """Counts over one evaluation; made anew for each.

    `result` must also work before the first `update`: the names it gives are how `training.monitor` is checked
    before anything is trained.
    """

    def update(self, outputs: Any, batch: Any) -> None:
        """Counts one batch; `outputs` is what the loss put into `Loss.outputs`."""
        ...

    def result(self) -> dict[str, float]:
        """Gives every metric by its name, as it will be written on the curves (`F1` becomes `Val/F1`)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data sets of a run. Any map-style data set will do; randomness in it is keyed by sample and epoch."""

    train: Dataset[Any]
    val: Dataset[Any] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    """How samples become a batch; None means torch's default."""
    split: Split | None = None
    """How one data set was divided into `train` and `val`; kept with the run, so that it is never drawn again."""
    schedule: Schedule | None = None
    """What changes with the epoch (counted from 0): `train` is then asked for `Scheduled(index, value)`."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A model, its data, its loss and its metrics, under one name.

    Only `name`, `config`, `data`, `model` and `loss` are needed. Each function gets the resolved, typed config.
    """

    name: str
    config: type[Config]
    """The typed configuration; `config()` must give the system's defaults."""
    data: Callable[[Any], Data]
    model: Callable[[Any], nn.Module]
    loss: Callable[[Any], LossFunction]
    metrics: Callable[[Any], Metrics] | None = None
    pictures: Callable[[Any, nn.Module, Any], dict[str, Tensor]] | None = None
    """`pictures(config, model, batch)` gives uint8 images of shape [height, width, 3] by name."""
    predict: Callable[[Any, nn.Module, Sequence[Path], Path], Iterator[dict[str, Any]]] | None = None
    """`predict(config, model, inputs, output_dir)` writes pictures and yields one JSON-ready record per input."""
    make_data: Callable[[Path, int, int], str] | None = None
    """`make_data(folder, samples, seed)` writes a small generated data set and says what it wrote."""
    make_raw: Callable[[Path, int, int], str] | None = None
    """`make_raw(folder, samples, seed)` writes the same samples as the raw data that `convert` takes."""
    convert: Callable[[Any, Path, Path, Callable[[int, int], None]], str] | None = None
    """`convert(options, source, folder, progress)` turns raw data into the form that training reads, and says what
    came of it; meanwhile it calls `progress(done, total)`. A killed one goes on when it is called again."""
    convert_options: type[Section] = Section
    """The typed options of `convert`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Short names for config keys on the command line, for example `{"h5": "data.path"}`."""
    named_by: Sequence[str] = ()
    """Config keys whose values make up the automatic run name."""
    output_dir_is_run: bool = False
    """Whether an explicit `--output-dir` without a name is the run folder itself."""
    presets: Path | None = None
    """The folder of this system's presets, `NAME.yaml` each."""
    layouts: Sequence[Layout] = ()
    """How checkpoints of this system's own past are read."""


def device_of(model: nn.Module) -> torch.device:
    """The device that a model's parameters are on (the CPU when it has none)."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
