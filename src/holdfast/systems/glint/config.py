"""The configuration of Glint. Numbers without another source are those of the original training script."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from holdfast.config.schema import Config, DataSection, Positive, Training
from holdfast.config.section import Section

SIDE_MULTIPLE = 16
"""What the sides of an image must be a multiple of: the network halves them four times."""
SMALLEST_SIDE = 2 * SIDE_MULTIPLE
"""What they must at least be: with one pixel at the bottom, normalising a batch of one image would fail."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveWeight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    shared_memory: bool = False
    """Of no effect, for old command lines only: processes share a preloaded file without it."""


class Focal(Section):
    """Focal loss on soft targets."""

    name: Literal["focal"] = "focal"
    """Which loss."""
    alpha: PositiveWeight = 1.0
    """Factor of the whole loss."""
    gamma: Weight = 2.0
    """How much less the pixels count that are right already."""


class Bce(Section):
    """Binary cross-entropy."""

    name: Literal["bce"] = "bce"
    """Which loss."""


class Dice(Section):
    """One minus the overlap of each map with its target."""

    name: Literal["dice"] = "dice"
    """Which loss."""


class Hybrid(Section):
    """A weighted sum of losses of each map, of the likeness of the maps to one another, and of their aggregate."""

    name: Literal["hybrid"] = "hybrid"
    """Which loss."""
    lam_focal: Weight = 1.0
    """Weight of the focal loss."""
    lam_bce: Weight = 0.0
    """Weight of the binary cross-entropy."""
    lam_dice: Weight = 0.0
    """Weight of the dice loss."""
    alpha: PositiveWeight = 1.0
    """Factor of the focal loss, wherever it stands here."""
    gamma: Weight = 2.0
    """Of the focal loss: how much less the pixels count that are right already."""
    div_weight: Weight = 0.05
    """Weight of the divergence: how alike the maps of an image are, averaged over all pairs of them."""
    div_mode: Literal["overlap", "cosine", "kl"] = "cosine"
    """How likeness is measured: mean product, cosine, or exp(-KL) of the maps as distributions."""
    lam_agg: Weight = 0.2
    """Weight of the aggregate: the losses of one map of all glints together, whatever their identity."""
    agg_mode: Literal["max", "sum"] = "max"
    """How maps become one: their largest value, or their sum up to 1."""
    agg_focal: Weight = 1.0
    """Weight of the focal loss in the aggregate (`--agg_wF`)."""
    agg_bce: Weight = 0.0
    """Weight of the binary cross-entropy in the aggregate (`--agg_wB`)."""
    agg_dice: Weight = 0.0
    """Weight of the dice loss in the aggregate (`--agg_wD`)."""

    @model_validator(mode="after")
    def _something_weighs(self) -> Self:
        aggregate = self.lam_agg * (self.agg_focal + self.agg_bce + self.agg_dice)
        if self.lam_focal + self.lam_bce + self.lam_dice + aggregate == 0:
            raise ValueError(
                "`lam_focal`, `lam_bce`, `lam_dice` or `lam_agg` must be above 0, but all are 0; "
                "give a weight to what the maps are to be like"
            )
        return self


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
    loss: Focal | Bce | Dice | Hybrid = Field(default=Focal(), discriminator="name")
    """focal, bce, dice or hybrid."""
    detection: GlintDetection = GlintDetection()
    """When a peak is a glint, and when a glint is right."""
    training: GlintTraining = GlintTraining()
    """How it is trained, and what is kept."""


class ConvertOptions(Section):
    """How Labelme files and their pictures become one HDF5 file."""

    size: Positive | tuple[Positive, Positive] | None = None
    """Side, or [height, width], of the images; by default that of the pictures, where it can stay."""
    stride: Literal[1, 2, 4] = 2
    """Pixels of an image, along a side, for one of a map; serves networks with this `model.output_stride` or more."""
    num_glints: Positive = 8
    """How many glints there are: their labels are g1 to g8."""
    prefix: str = "g"
    """What comes before the number in a label."""
    sigma_scale: PositiveWeight = 1.2
    """Sigma of a glint's Gaussian for each pixel of its radius."""
    sigma_min: Weight = 1.5
    """Smallest sigma, in pixels of the picture."""
    sigma_floor: PositiveWeight = 2.0
    """Smallest sigma, in pixels of a map (own choice: a focal loss needs a peak of some pixels to find its middle)."""
    ignore: str | tuple[str, ...] = ()
    """Label, or list of labels, of circles that are no glints."""
    empty: Literal["bad", "keep"] = "bad"
    """What a file without a glint is: bad, or an eye without glints that is kept."""
    bad: Literal["stop", "skip"] = "stop"
    """What a bad file does: stop everything, or be left out and reported."""
    compression: Literal["gzip", "lzf", "none"] = "gzip"
    """How the HDF5 file is compressed."""

    @field_validator("size")
    @classmethod
    def _fits_the_network(cls, value: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        for side in (value,) if isinstance(value, int) else value or ():
            if side % SIDE_MULTIPLE or side < SMALLEST_SIDE:
                raise ValueError(
                    f"must be made of multiples of {SIDE_MULTIPLE}, {SMALLEST_SIDE} or more, but got {side}; "
                    f"take {max(SMALLEST_SIDE, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE)}"
                )
        return value
