"""The training and the held-out ink: drawn while it is needed, or from a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from holdfast.data.scheduled import Scheduled
from holdfast.data.split import Split
from holdfast.engine.system import Data
from holdfast.errors import DataError
from holdfast.randomness import Keys
from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.config import Curriculum, InkTraceConfig
from holdfast.systems.inktrace.fields import Fields, draw_fields, draw_image
from holdfast.systems.inktrace.folder import InkFolder
from holdfast.systems.inktrace.ink import Ink
from holdfast.systems.inktrace.masking import Kind, draw_mask

EPOCH_LENGTH = 10_000
"""Generated samples per epoch where `data.epoch_length` does not say."""

Sample = dict[str, Tensor]
"""`image` as the network sees it, and the fields by name, float32 [channels, S, S] each."""


class Moment(NamedTuple):
    """What an epoch means for the data."""

    epoch: int
    """Counted from 0."""
    level: int
    """Of the curriculum."""


def build_data(config: InkTraceConfig) -> Data:
    """Opens the folder of a configuration, or gets ready to generate; part of it is held out.

    Raises:
        DataError: When anything about the folder is not as it must be.
    """
    schedule = partial(moment, config.training.curriculum)
    hide, hide_held_out = (Hide.of(config, seed) for seed in (config.seed, config.data.val_seed))
    if config.data.path is None:
        size, length = config.data.img_size, config.data.epoch_length or EPOCH_LENGTH
        ink, held_out = Ink(config.seed, "inktrace", size), Ink(config.data.val_seed, "inktrace held out", size)
        last = Moment(epoch=0, level=config.training.curriculum.end)
        return Data(
            train=Generated(ink, length, hide, last),
            val=Generated(held_out, config.data.val_samples, hide_held_out, last),
            schedule=schedule,
        )
    folder = InkFolder(Path(config.data.path).expanduser(), config.data.img_size)
    split = _split(folder, config)
    return Data(
        train=Pictures(folder, split, "train", hide, config.data.epoch_length),
        val=Pictures(folder, split, "held_out", hide_held_out, None),
        split=split,
        schedule=schedule,
    )


def moment(curriculum: Curriculum, epoch: int) -> Moment:
    """Gives what an epoch, counted from 0, means for the data."""
    return Moment(epoch, curriculum.level(epoch))


class Hide(NamedTuple):
    """What is hidden from the network; nothing without a ratio."""

    kind: Kind
    ratio: float | None
    seed: int

    @classmethod
    def of(cls, config: InkTraceConfig, seed: int) -> Hide:
        """Gives what a configuration says, drawn from a seed."""
        return cls(config.training.mask, config.training.mask_ratio, seed)

    def __call__(self, image: Floats, fields: Fields, purpose: str, moment: Moment, index: int) -> Floats:
        """Gives the image without what is hidden of it."""
        if self.ratio is None:
            return image
        key = Keys(self.seed, purpose, "mask")(moment.epoch, index)
        mask = draw_mask(self.kind, self.ratio, fields.skeleton[0], key)
        return np.where(mask, np.float32(0), image)


class Generated(Dataset[Sample]):
    """Drawings: each epoch has its own.

    Args:
        ink: What draws them.
        length: Samples per epoch.
        hide: What is hidden from the network.
        default: The epoch and level of a bare index, as in evaluation.
    """

    def __init__(self, ink: Ink, length: int, hide: Hide, default: Moment) -> None:
        self._ink = ink
        self._length = length
        self._hide = hide
        self._default = default

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, asked: int | Scheduled) -> Sample:
        index, moment = (asked.index, asked.value) if isinstance(asked, Scheduled) else (asked, self._default)
        paths = self._ink(moment.epoch, index, level=moment.level)
        image, fields = draw_image(paths, self._ink.size), draw_fields(paths, self._ink.size)
        return _sample(self._hide(image, fields, self._ink.purpose, moment, index), fields)


class Pictures(Dataset[Sample]):
    """One part of a folder.

    Args:
        folder: The pictures.
        split: Its division.
        part: Which part of it.
        hide: What is hidden from the network.
        length: Samples per epoch; an epoch goes on where the one before it ended. By default all of them.
    """

    def __init__(
        self, folder: InkFolder, split: Split, part: Literal["train", "held_out"], hide: Hide, length: int | None
    ) -> None:
        self._folder = folder
        self._split = split
        self._part: Literal["train", "held_out"] = part
        self._hide = hide
        self._length = length

    @property
    def numbers(self) -> list[int]:
        """The pictures of the folder that belong to this part."""
        return self._split.train if self._part == "train" else self._split.held_out

    def __len__(self) -> int:
        return self._length or len(self.numbers)

    def __getitem__(self, asked: int | Scheduled) -> Sample:
        index, moment = (asked.index, asked.value) if isinstance(asked, Scheduled) else (asked, Moment(0, 0))
        numbers = self.numbers
        number = numbers[(moment.epoch * len(self) + index) % len(numbers)]
        image, fields = self._folder[number]
        return _sample(self._hide(image, fields, self._part, moment, index), fields)


def _split(folder: InkFolder, config: InkTraceConfig) -> Split:
    split = Split.drawn(
        len(folder), share=config.data.val_split, seed=config.data.val_seed, fingerprint=folder.fingerprint
    )
    if not split.train or not split.held_out:
        raise DataError(
            f"`data.val_split` must leave pictures on both sides, but got {config.data.val_split} of the "
            f"{len(folder)} in {folder.path}; choose another share or a larger folder."
        )
    return split


def _sample(image: Floats, fields: Fields) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in {"image": image, **fields._asdict()}.items()}
