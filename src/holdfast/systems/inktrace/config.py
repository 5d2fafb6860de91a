"""The configuration of InkTrace. Numbers without another source are those of the original training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from holdfast.config.schema import (
    Adam,
    AdamW,
    Config,
    Constant,
    Cosine,
    DataSection,
    Linear,
    OneCycle,
    Positive,
    Sgd,
    Step,
    Training,
)
from holdfast.config.section import Section

PATCH = 8
"""Pixels, along a side, for one of the transformer's tokens; also the side of a masked block."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Level = Annotated[int, Field(ge=0, le=9)]


class InkModel(Section):
    """The network: convolutions, a transformer on an eighth of the resolution, and a decoder."""

    embed_dim: Positive = 128
    """Width of the transformer; a multiple of `num_heads`."""
    num_layers: Positive = 4
    """Layers of the transformer."""
    num_heads: Positive = 4
    """Heads of every attention; `channels` must be a multiple of four times as many."""
    channels: Positive = 128
    """Channels at an eighth of the resolution; the stem and the end of the decoder have a quarter and a half of it."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of the transformer."""
    full_heads: bool = True
    """All five fields, with connections past the bottleneck; false: skeleton and tangent alone, through it."""

    @model_validator(mode="after")
    def _heads_divide_the_widths(self) -> Self:
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"`embed_dim` must be a multiple of `num_heads`, but got {self.embed_dim} and {self.num_heads}; "
                f"choose {self.num_heads * (self.embed_dim // self.num_heads + 1)}, for example"
            )
        if self.channels % (4 * self.num_heads):
            step = 4 * self.num_heads
            raise ValueError(
                f"`channels` must be a multiple of four times `num_heads`, but got {self.channels} and "
                f"{self.num_heads}; choose {step * (self.channels // step + 1)}, for example"
            )
        return self


class InkData(DataSection):
    """Ink that is drawn while it trains, or a folder of pictures with their fields (`path`)."""

    img_size: Annotated[int, Field(ge=2 * PATCH)] = 64
    """Pixels along a side; pictures in a folder are brought to it."""
    val_samples: Positive = 256
    """How many drawings are held out for evaluation, where ink is generated."""
    val_seed: Annotated[int, Field(ge=0)] = 1000
    """Which drawings, or which pictures of a folder; apart from `seed`, so that all runs are judged by the same."""
    val_split: Share = 0.1
    """Share of a folder's pictures that is held out for evaluation."""

    @field_validator("img_size")
    @classmethod
    def _is_made_of_patches(cls, value: int) -> int:
        if value % PATCH:
            raise ValueError(f"must be a multiple of {PATCH}, but got {value}; choose {value // PATCH * PATCH + PATCH}")
        return value


class StructuralLoss(Section):
    """Weights of what the bottleneck must carry."""

    skeleton: Weight = 1.0
    """Binary cross-entropy and dice of the skeleton."""
    tangent: Weight = 1.0
    """Squared error of the double angle's cosine and sine, on the skeleton (a later guide of the authors: 2)."""


class DenseLoss(Section):
    """Weights of all five fields."""

    skeleton: Weight = 10.0
    """Binary cross-entropy and dice of the skeleton."""
    keypoints: Weight = 5.0
    """Gaussian focal loss of the key points."""
    tangent: Weight = 1.0
    """Squared error of the double angle's cosine and sine, on the skeleton (a later guide of the authors: 2)."""
    width: Weight = 1.0
    """Absolute error of the width, on the skeleton."""
    offset: Weight = 1.0
    """Absolute error of the offset, on the skeleton."""


class InkLoss(Section):
    """What is minimised: the first without `model.full_heads`, the second with them."""

    structural: StructuralLoss = StructuralLoss()
    """Weights of what the bottleneck must carry."""
    dense: DenseLoss = DenseLoss()
    """Weights of all five fields."""

    @model_validator(mode="after")
    def _something_weighs(self) -> Self:
        for name, weights in (("structural", self.structural), ("dense", self.dense)):
            if not any(weights.model_dump().values()):
                raise ValueError(f"`{name}` must give a weight to something, but all are 0; raise one")
        return self


class Curriculum(Section):
    """How the drawings grow harder, where ink is generated. Levels: 0 one long stroke; 1 to 3 more and more single
    strokes; 4 to 6 one path of more and more pieces; 7 to 9 several paths."""

    start: Level = 0
    """The first level."""
    end: Level = 6
    """The last level, and that of the drawings held out for evaluation."""
    epochs_per_level: Positive = 8
    """Epochs from one level to the next."""

    @model_validator(mode="after")
    def _does_not_grow_easier(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"`end` must be at least `start`, but got {self.end} and {self.start}; change one of them")
        return self

    def level(self, epoch: int) -> int:
        """Gives the level of an epoch, counted from 0."""
        return min(self.end, self.start + epoch // self.epochs_per_level)


class InkTraining(Training):
    """AdamW with one cycle of the rate."""

    epochs: Positive = 50
    """The length of the run, where `steps` is not set."""
    weight_decay: Weight = 1e-4
    """How strongly weights are drawn to zero."""
    optimizer: Adam | AdamW | Sgd = AdamW()
    """adam, adamw or sgd."""
    schedule: Constant | Cosine | Linear | Step | OneCycle = OneCycle()
    """constant, cosine, linear, step or one_cycle."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """The largest norm that the gradient may have."""
    mask_ratio: Share | None = None
    """How much of each picture is hidden from the network, in training and in evaluation; nothing by default."""
    mask: Literal["block", "pixel", "stroke"] = "block"
    """What is hidden: blocks of 8 x 8 pixels, single pixels, or stretches of the strokes (own choice: the original
    named it, but hid blocks)."""
    curriculum: Curriculum = Curriculum()
    """How the drawings grow harder."""


class InkDetection(Section):
    """From which probability on a pixel counts."""

    skeleton: Share = 0.5
    """As part of the skeleton."""
    keypoints: Share = 0.2
    """As a key point, where it is the highest of its neighbours (own choice)."""


class InkTraceConfig(Config):
    """InkTrace: skeleton, key points, direction, width and sub-pixel position of the strokes in a picture of ink."""

    system: str | None = "inktrace"
    """A built-in system, or your own as package.module:name."""
    model: InkModel = InkModel()
    """The network."""
    data: InkData = InkData()
    """Where ink comes from and how much of it is held out."""
    loss: InkLoss = InkLoss()
    """What is minimised."""
    detection: InkDetection = InkDetection()
    """From which probability on a pixel counts."""
    training: InkTraining = InkTraining()
    """How it is trained, and what is kept."""
