"""The training and the held-out eyes: tensors from one HDF5 file (its layout: see `eye_file`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from holdfast.data.split import Split
from holdfast.engine.system import Data
from holdfast.errors import DataError
from holdfast.systems.glint.config import GlintConfig
from holdfast.systems.glint.eye_file import HDF5_SUFFIXES, EyeFile

_SHARED_MEMORY = (
    "note: --shared_memory and --cleanup_shm have no effect: the processes of a run share what it has preloaded, and "
    "nothing is left behind to be cleaned up; several runs share one copy with --no-preload"
)


class Sample(TypedDict):
    """One eye."""

    image: Tensor
    """float32 [1, H, W] from 0 to 1."""
    heatmap: Tensor
    """float32 [glints, h, w] from 0 to 1."""
    present: Tensor
    """bool [glints]."""
    index: int
    """Its row in the file."""


def build_data(config: GlintConfig) -> Data:
    """Opens the file of a configuration and divides it into training and held-out eyes.

    Raises:
        DataError: When anything about the file is not as it must be.
    """
    if config.data.shared_memory:
        print(_SHARED_MEMORY, file=sys.stderr)
    file = EyeFile(find_file(config.data.path), config.data, config.model)
    split = Split.drawn(
        len(file), share=config.data.val_split, seed=config.data.split_seed, fingerprint=file.fingerprint
    )
    if not split.train or not split.held_out:
        raise DataError(
            f"`data.val_split` must leave images on both sides, but got {config.data.val_split} of the {len(file)} "
            f"in {file.path}; choose another share or a larger file."
        )
    train, val = (Eyes(file, split, part, stride=config.model.output_stride) for part in ("train", "held_out"))
    return Data(train=train, val=val, split=split)


def find_file(path: str | None) -> Path:
    """Gives the HDF5 file that `data.path` means: itself, or the only one in that folder."""
    if path is None:
        raise DataError(
            "`data.path` must name an HDF5 file or the folder it is in, but got nothing; "
            "add `--data-path FILE`, or make a small data set with `holdfast make-data glint DIR`."
        )
    place = Path(path).expanduser()
    if not place.exists():
        raise DataError(f"`data.path` must exist, but there is no {place}; look at the spelling of `--data-path`.")
    if not place.is_dir():
        return place
    files = sorted(child for child in place.iterdir() if child.suffix in HDF5_SUFFIXES)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(
            f"`data.path` must be a folder with one .h5 file, but {place} has {names}; name the file itself."
        )
    return files[0]


class Eyes(Dataset[Sample]):
    """One part of an `EyeFile`, as tensors.

    Args:
        file: The eyes.
        split: Its division.
        part: Which part of it.
        stride: Pixels of the image for one of a map; finer maps in the file are averaged.
    """

    def __init__(self, file: EyeFile, split: Split, part: Literal["train", "held_out"], *, stride: int) -> None:
        self.file = file
        self._split = split
        self._part: Literal["train", "held_out"] = part
        self._stride = stride

    @property
    def rows(self) -> list[int]:
        """The rows of the file that belong to this part."""
        return self._split.train if self._part == "train" else self._split.held_out

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        image, heatmaps, present = self.file[row]
        finer = self._stride * heatmaps.shape[1] // image.shape[0]
        return {
            "image": torch.from_numpy(image.astype(np.float32) / 255)[None],
            "heatmap": coarser(torch.from_numpy(heatmaps.astype(np.float32)), finer),
            "present": torch.from_numpy(present.astype(np.bool_)),
            "index": row,
        }


def coarser(maps: Tensor, factor: int) -> Tensor:
    """Gives maps [glints, h, w] at a lower resolution: averaged, with their peaks as high as before.

    Averaging alone flattens a narrow peak, and a loss that aims at 0 or 1 would take it for nothing.
    """
    if factor == 1:
        return maps
    averaged = F.avg_pool2d(maps, factor)
    before, after = (each.amax(dim=(1, 2), keepdim=True) for each in (maps, averaged))
    return averaged * (before / after.clamp_min(torch.finfo(after.dtype).tiny))
