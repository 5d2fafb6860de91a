"""Small networks and drawings for the tests of InkTrace."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.ink import Ink, Path, Piece
from holdfast.systems.inktrace.model import InkNet, Prediction

SMALL = {"embed_dim": 8, "num_layers": 1, "num_heads": 1, "channels": 8}


def config_for(**sections: Any) -> InkTraceConfig:
    """Gives a configuration of a very small network for pictures of 32 x 32, with what is named otherwise."""
    model = {**SMALL, **sections.pop("model", {})}
    data = {"img_size": 32, "epoch_length": 6, "val_samples": 4, **sections.pop("data", {})}
    return InkTraceConfig.model_validate({"model": model, "data": data, **sections})


def drawing(index: int, *, level: int = 2, size: int = 32) -> list[Path]:
    return Ink(1, "test", size)(0, index, level=level)


def straight(start: tuple[float, float], end: tuple[float, float], width: float = 2.0) -> Path:
    points = [tuple(np.add(start, np.subtract(end, start) * part / 3).tolist()) for part in range(4)]
    return [Piece((points[0], points[1], points[2], points[3]), (width, width, width))]


def marks(size: int, *places: tuple[int, int], channels: int = 1) -> Tensor:
    """Gives a map [1, channels, size, size] that is 1 at rows and columns, in its first channel."""
    map_ = torch.zeros(1, channels, size, size)
    for row, column in places:
        map_[0, 0, row, column] = 1
    return map_


def logits(chances: Tensor) -> Tensor:
    return torch.logit(chances.clamp(1e-4, 1 - 1e-4))


class Knows(nn.Module):
    """A network that says what is true of pictures it has the fields of."""

    def __init__(self, fields: dict[str, Tensor]) -> None:
        super().__init__()
        self.fields = fields

    def forward(self, image: Tensor) -> Prediction:
        fields = self.fields
        return Prediction(
            skeleton=logits(fields["skeleton"]),
            tangent=fields["tangent"],
            keypoints=logits(fields["keypoints"]),
            width=fields["width"],
            offset=fields["offset"],
        )

    predict = InkNet.predict
