"""A small system's configuration, with networks and losses that a name chooses."""

from pathlib import Path
from textwrap import dedent
from typing import Literal, Self

from pydantic import Field, model_validator

from holdfast.config import Config, ConfigError, DataSection, Resolved, Section, load_layer, parse_options, resolve


class Mlp(Section):
    name: Literal["mlp"] = "mlp"
    hidden: int = 32


class Resnet(Section):
    name: Literal["resnet"] = "resnet"
    depth: int = 18
    widths: tuple[int, ...] = (64, 128)

    @model_validator(mode="after")
    def _deep_enough(self) -> Self:
        if self.depth < len(self.widths):
            raise ValueError("`depth` must be at least the number of `widths`")
        return self


class Bce(Section):
    name: Literal["bce"] = "bce"
    weight: float = 1.0


class Focal(Section):
    name: Literal["focal"] = "focal"
    gamma: float = 2.0
    alpha: float = 0.25


class Ink(DataSection):
    img_size: int = 64
    shift: dict[str, float] = Field(default_factory=dict)


class Example(Config):
    model: Mlp | Resnet = Mlp()
    data: Ink = Ink()
    loss: Bce | Focal = Bce()
    extra: Focal | Bce | None = None


def write(folder: Path, name: str, text: str) -> Path:
    """Writes a file into the folder and gives its path."""
    path = folder / name
    path.write_text(dedent(text))
    return path


def resolved(path: Path, *words: str, stage: str | None = None) -> Resolved[Example]:
    """Resolves a file with command-line words over it."""
    return resolve(Example, [load_layer(path)], stage=stage, overrides=parse_options(words, Example, aliases={}))


def mistakes_of(path: Path, *words: str, stage: str | None = None) -> list[str]:
    """Gives the mistakes of a file; an error when there are none."""
    try:
        resolved(path, *words, stage=stage)
    except ConfigError as error:
        return list(error.mistakes)
    raise AssertionError(f"{path} has no mistakes")
