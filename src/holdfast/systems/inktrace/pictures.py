"""The pictures that a run shows: what the network saw, what is true and what it says, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.fields import CHANNELS
from holdfast.systems.inktrace.loss import keypoint_heat
from holdfast.systems.inktrace.model import InkNet, Prediction
from holdfast.systems.inktrace.painting import (
    Colours,
    paint_ink,
    paint_keypoints,
    paint_skeleton,
    paint_tangent,
    paint_width,
)

_ROWS = 6
_SCALE = 3
_GAP = 4
_TITLE = 16

Tile = tuple[str, Colours]


def build_pictures(config: InkTraceConfig, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives one picture, `Fields`: for the first samples of a batch a row with what was seen, true and said."""
    assert isinstance(model, InkNet)
    image = batch["image"][:_ROWS]
    said = as_arrays(model.predict(image))
    truth = {name: batch[name][:_ROWS].cpu() for name in CHANNELS}
    truth["keypoints"] = keypoint_heat(truth["keypoints"])  # single pixels would hardly be seen
    rows = []
    for number, ink in enumerate(image[:, 0].cpu().numpy()):
        ours = {name: field[number] for name, field in said.items()}
        true = {name: truth[name][number].numpy() for name in ours}
        pairs = zip(tiles_of(true, ink), tiles_of(ours, ink), strict=True)
        beside = [tile for (name, a), (_, b) in pairs for tile in ((f"{name}: true", a), ("said", b))]
        rows.append([("seen", paint_ink(ink)), *beside])
    return {"Fields": torch.from_numpy(grid(rows))}


def as_arrays(said: Prediction) -> dict[str, Floats]:
    """Gives the fields that there is a head for."""
    return {name: field.detach().float().cpu().numpy() for name, field in said._asdict().items() if field is not None}


def tiles_of(fields: Mapping[str, Floats], ink: Floats) -> list[Tile]:
    """Gives the pictures of the fields of one sample; direction and width are shown on its skeleton."""
    chance = fields["skeleton"][0]
    painted = {
        "skeleton": lambda: paint_skeleton(chance),
        "keypoints": lambda: paint_keypoints(fields["keypoints"], ink),
        "tangent": lambda: paint_tangent(fields["tangent"], chance),
        "width": lambda: paint_width(fields["width"][0], chance),
    }
    return [(name, paint()) for name, paint in painted.items() if name in fields]


def grid(rows: Sequence[Sequence[Tile]], *, scale: int = _SCALE) -> Colours:
    """Gives tiles in rows, enlarged, with the names of the first row's tiles above."""
    side = rows[0][0][1].shape[0] * scale
    size = (len(rows[0]) * (side + _GAP) - _GAP, len(rows) * (side + _GAP) + _TITLE)
    picture = Image.new("RGB", size, (64, 64, 64))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=11)
    for place, (name, _) in enumerate(rows[0]):
        pen.text((place * (side + _GAP) + 2, 1), name, font=font, fill=(255, 255, 255))
    for number, row in enumerate(rows):
        for place, (_, tile) in enumerate(row):
            enlarged = Image.fromarray(tile).resize((side, side), Image.Resampling.NEAREST)
            picture.paste(enlarged, (place * (side + _GAP), _TITLE + number * (side + _GAP)))
    return np.array(picture)
