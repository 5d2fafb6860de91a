"""The configuration of Glint. Numbers without another source are those of the original training script."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from holdfast.config.schema import Config, DataSection, Positive, Training
from holdfast.config.section import Section

SIDE_MULTIPLE = 16
"""What the sides of an image must be a multiple of: the network halves them four times."""


class GlintModel(Section):
    """The U-Net."""

    base_channels: Positive = 16
    """Channels of the first block; each of the four next has twice as many (16: 1.9 million parameters; 64: 31)."""
    output_stride: Literal[1, 2, 4] = 4
    """Pixels of the image, along a side, for one of the heat maps."""
    num_glints: Positive = 8
    """Heat maps that come out, one for each lamp: g1 to g8."""


class GlintData(DataSection):
    """The HDF5 file; `path` is the file, or a folder with one such file in it."""

    images: str = "images"
    """Key of the images in the file: uint8 [N, H, W]."""
    heatmaps: str = "heatmaps"
    """Key of the heat maps in the file: float [N, glints, H/stride, W/stride]; `masks` is taken where it is missing."""
    val_split: float = Field(default=0.1, gt=0, lt=1)
    """Share of the images that is held out for evaluation."""
    split_seed: int = Field(default=1000, ge=0)
    """Which images are held out; apart from `seed`, so that runs with other seeds are judged by the same images."""
    preload: bool = True
    """Read the whole file into memory at the start (about 0.5 MB per 512 x 512 image) instead of image by image."""


class Focal(Section):
    """Focal loss on soft targets."""

    name: Literal["focal"] = "focal"
    """Which loss."""
    alpha: float = Field(default=1.0, gt=0)
    """Factor of the whole loss."""
    gamma: float = Field(default=2.0, ge=0)
    """How much less the pixels count that are right already."""


class Bce(Section):
    """Binary cross-entropy."""

    name: Literal["bce"] = "bce"
    """Which loss."""


class GlintDetection(Section):
    """When a peak is a glint, and when a glint is right."""

    threshold: float = Field(default=0.3, ge=0, lt=1)
    """Confidence from which the highest peak of a map counts as a glint."""
    tolerance: float = Field(default=4.0, gt=0)
    """Distance, in pixels of the image, up to which a glint is right (own choice: one pixel of a map at stride 4)."""


class GlintTraining(Training):
    """Adam at a constant rate."""

    batch_size: Positive = 8
    """Samples of one step, over all processes, accumulation included."""
    monitor: str = "val/f1"
    """The metric that says which state is the best (own choice: the original took the lowest loss)."""
    mode: Literal["min", "max"] = "max"
    """Whether the best is the smallest or the largest."""


class GlintConfig(Config):
    """Glint: corneal reflections of up to eight lamps, found by a U-Net that gives one heat map for each."""

    system: str | None = "glint"
    """A built-in system, or your own as package.module:name."""
    model: GlintModel = GlintModel()
    """The U-Net."""
    data: GlintData = GlintData()
    """Where the eyes are and which of them are held out."""
    loss: Focal | Bce = Field(default=Focal(), discriminator="name")
    """focal or bce."""
    detection: GlintDetection = GlintDetection()
    """When a peak is a glint, and when a glint is right."""
    training: GlintTraining = GlintTraining()
    """How it is trained, and what is kept."""
