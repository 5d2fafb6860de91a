"""The training and the held-out eyes: tensors from one HDF5 file (its layout: see `eye_file`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from holdfast.engine.system import Data
from holdfast.errors import DataError
from holdfast.systems.glint.config import GlintConfig
from holdfast.systems.glint.eye_file import HDF5_SUFFIXES, EyeFile


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
    file = EyeFile(find_file(config.data.path), config.data, config.model)
    train, held_out = split(len(file), share=config.data.val_split, seed=config.data.split_seed)
    if not train or not held_out:
        raise DataError(
            f"`data.val_split` must leave images on both sides, but got {config.data.val_split} of the {len(file)} "
            f"in {file.path}; choose another share or a larger file."
        )
    return Data(train=Eyes(file, train), val=Eyes(file, held_out))


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


def split(count: int, *, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Divides `count` rows into training and held-out ones, the same for the same seed wherever it runs."""
    # Raw words, for what NumPy's generators make of them may change from version to version.
    order = np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable").tolist()
    held_out = round(count * share)
    return sorted(order[held_out:]), sorted(order[:held_out])


class Eyes(Dataset[Sample]):
    """Some rows of an `EyeFile`, as tensors."""

    def __init__(self, file: EyeFile, rows: Sequence[int]) -> None:
        self.file = file
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.file[self.rows[index]]
        return {
            "image": torch.from_numpy(row.image.astype(np.float32) / 255)[None],
            "heatmap": torch.from_numpy(row.heatmaps.astype(np.float32)),
            "present": torch.from_numpy(row.present.astype(np.bool_)),
            "index": self.rows[index],
        }
