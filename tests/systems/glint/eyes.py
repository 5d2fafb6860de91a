"""Small eyes for the tests of Glint."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from holdfast.systems.glint.config import GlintConfig


def config_for(path: Path | str | None = None, **sections: Any) -> GlintConfig:
    data = {"path": None if path is None else str(path), "val_split": 0.25, **sections.pop("data", {})}
    return GlintConfig.model_validate({"data": data, **sections})


def write_file(path: Path, *, without: str | None = None, **arrays: Any) -> Path:
    """Writes four blank eyes of 64 x 64, with what is named replaced or left out."""
    contents = {
        "images": np.zeros((4, 64, 64), np.uint8),
        "heatmaps": np.zeros((4, 8, 16, 16), np.float16),
        "present": np.zeros((4, 8), np.uint8),
        **arrays,
    }
    with h5py.File(path, "w") as file:
        for key, array in contents.items():
            if key != without:
                file[key] = array
    return path


def opened(path: Path) -> Any:
    """Opens a file for reading; untyped, for the types of h5py allow for groups where there are arrays."""
    return h5py.File(path)


def gaussian(x: float, y: float, *, side: int = 16, stride: int = 4, sigma: float = 4.0) -> torch.Tensor:
    """Draws a map with a Gaussian at a place given in pixels of the image."""
    centres = (torch.arange(side) + 0.5) * stride - 0.5
    return torch.exp(-((centres[:, None] - y) ** 2 + (centres[None, :] - x) ** 2) / (2 * sigma**2))
