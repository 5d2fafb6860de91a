"""Generated eyes: images with known glints, written in the real on-disk format.

An eye has skin, a sclera, a textured iris, a pupil, lids, and eight lamps reflected on a ring around the pupil, in a
fixed angular order that makes their identity. A glint may be missing, faint or covered by a lid; bright spots that
are no glints lie off the ring. Everything about eye *i* is a function of (seed, purpose, i).
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast import durable
from holdfast.errors import DataError
from holdfast.systems.glint.annotations import labelme_document
from holdfast.systems.glint.eye_writing import BLOCK, Block, Drawing, write_eyes
from holdfast.systems.glint.maps import draw_maps

NUM_GLINTS = 8
NUM_PICTURES = 8
_SIGMA_SCALE = 1.2
# Two pixels of a map at stride 2: a focal loss makes a disc of each Gaussian, whose many border pixels say where its
# middle is; a narrower one has too few of them.
_SIGMA_MIN = 4.0
_DROPPED = 0.12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Eye:
    """One generated eye; positions are in pixels, the centre of the first pixel being (0, 0)."""

    image: NDArray[np.uint8]
    positions: Floats
    """x and y of every glint [8, 2], also of those that are not there."""
    radii: Floats
    present: NDArray[np.uint8]


def make_data(folder: Path, samples: int, seed: int, *, image_size: int = 96, stride: int = 2) -> str:
    """Writes a data set of generated eyes, and some held-out eyes as pictures for `predict`; says what it wrote.

    Raises:
        DataError: When one of the files exists already.
    """
    data_file = folder / f"eyes_{image_size}.h5"
    pictures = [folder / "images" / f"eye_{number:02}.png" for number in range(1, NUM_PICTURES + 1)]
    for path in [data_file, *pictures]:
        _refuse_existing(path)
    durable.make_folder(folder / "images")
    for number, path in enumerate(pictures):
        durable.write_file(path, _png(draw_eye(image_size, (seed, 1, number))))
    # The data set last: its existence means that all is there.
    blocks = (_block(rows, seed, image_size, stride) for rows in _blocks(samples))
    write_eyes(data_file, blocks, samples, Drawing(sigma_scale=_SIGMA_SCALE, sigma_min=_SIGMA_MIN))
    return f"wrote {samples} eyes to {data_file} and {NUM_PICTURES} held-out eyes to {folder / 'images'}"


def make_raw(folder: Path, samples: int, seed: int, *, image_size: int = 96) -> str:
    """Writes the same eyes as pictures, each with its Labelme file, as `convert` takes them; says what it wrote.

    Raises:
        DataError: When the folder exists already.
    """
    _refuse_existing(folder)
    durable.make_folder(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        building = Path(temporary) / folder.name
        building.mkdir()
        for index in range(samples):
            eye, stem = draw_eye(image_size, (seed, 0, index)), _stem(index)
            (building / f"{stem}.png").write_bytes(_png(eye))
            circles = {
                f"g{glint + 1}": (x, y, radius)
                for glint, ((x, y), radius) in enumerate(zip(eye.positions.tolist(), eye.radii.tolist(), strict=True))
                if eye.present[glint]
            }
            document = labelme_document(f"{stem}.png", (image_size, image_size), circles)
            (building / f"{stem}.json").write_text(json.dumps(document, indent=2))
        # Renamed as a whole, so that the folder has all eyes or does not exist.
        building.rename(folder)
    return f"wrote {samples} pictures with their Labelme files to {folder}"


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise DataError(f"`make-data` must write new files, but {path} exists; remove it or choose another folder.")


def _png(eye: Eye) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(eye.image).save(picture, format="png")
    return picture.getvalue()


def _stem(index: int) -> str:
    return f"eye_{index:06}"


def _blocks(samples: int) -> Iterator[range]:
    for start in range(0, samples, BLOCK):
        yield range(start, min(start + BLOCK, samples))


def _block(rows: range, seed: int, size: int, stride: int) -> Block:
    eyes = [draw_eye(size, (seed, 0, index)) for index in rows]
    return Block(
        images=np.stack([eye.image for eye in eyes]),
        heatmaps=np.stack([draw_heatmaps(eye, size, stride) for eye in eyes]),
        present=np.stack([eye.present for eye in eyes]),
        stems=[_stem(index) for index in rows],
    )


def draw_heatmaps(eye: Eye, size: int, stride: int) -> NDArray[np.float16]:
    """Draws one Gaussian per glint that is there."""
    sigma = np.maximum(_SIGMA_MIN, eye.radii * _SIGMA_SCALE)
    return draw_maps(eye.positions, np.stack([sigma, sigma], axis=1), eye.present, size=(size, size), stride=stride)


def draw_eye(size: int, key: tuple[int, ...]) -> Eye:
    """Draws the eye that belongs to a key."""
    random = np.random.Generator(np.random.PCG64(key))
    unit = size / 96  # the numbers below are pixels of a 96 x 96 image
    y, x = np.mgrid[:size, :size] / unit
    centre = 47.5 + random.uniform(-9, 9, 2)
    pupil = centre + random.uniform(-1.5, 1.5, 2)
    lid = _lid(random, x, y, centre)
    eyeball = _draw_eyeball(random, x, y, centre, pupil)
    skin = random.uniform(95, 165) + 22 * _cloud(random, size, 10) + 10 * _cloud(random, size, 30)
    image = eyeball * (1 - lid) + skin * lid
    image *= 1 + 0.004 * (random.uniform(-1, 1) * (x - 48) + random.uniform(-1, 1) * (y - 48))

    positions, radii, present = _glints(random, pupil, lid, unit)
    strengths = random.uniform(35, 220, NUM_GLINTS) * present
    for (spot_x, spot_y), radius, strength in zip(positions, radii, strengths, strict=True):
        image += strength * _spot(x, y, spot_x, spot_y, radius)
    image += _distractors(random, x, y, pupil)
    image += random.normal(0, random.uniform(3, 11), image.shape)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Eye(pixels, positions * unit, radii * unit, present)


def _draw_eyeball(random: np.random.Generator, x: Floats, y: Floats, centre: Floats, pupil: Floats) -> Floats:
    """Draws sclera, iris and pupil."""
    size = len(x)
    distance, angle = np.hypot(x - centre[0], y - centre[1]), np.arctan2(y - centre[1], x - centre[0])
    fibres = sum(
        random.uniform(2, 6) * np.sin(order * angle + random.uniform(0, 6.28) + 0.08 * distance)
        for order in random.integers(9, 32, 4)
    )
    sclera = random.uniform(150, 200) + 14 * _cloud(random, size, 8)
    iris = random.uniform(70, 125) + fibres + 10 * _cloud(random, size, 24)
    stretch = random.uniform(0.88, 1.12)
    across = np.hypot((x - pupil[0]) * stretch, (y - pupil[1]) / stretch)
    image = _mix(sclera, iris, distance - random.uniform(27, 33), softness=1.2)
    return _mix(image, random.uniform(15, 40), across - random.uniform(9, 14), softness=0.7)


def _glints(
    random: np.random.Generator, pupil: Floats, lid: Floats, unit: float
) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Gives positions, radii and presence of the eight glints; a glint under the lid is not there."""
    turn, ring = random.uniform(-0.16, 0.16), random.uniform(16, 21)
    angles = np.arange(NUM_GLINTS) * (2 * np.pi / NUM_GLINTS) + turn + random.normal(0, 0.05, NUM_GLINTS)
    reach = ring + random.normal(0, 0.6, NUM_GLINTS)
    positions = pupil + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    columns, rows = np.rint(positions * unit).astype(int).clip(0, len(lid) - 1).T
    present = (random.random(NUM_GLINTS) >= _DROPPED) & (lid[rows, columns] < 0.3)
    return positions, random.uniform(1.2, 2.0, NUM_GLINTS), present.astype(np.uint8)


def _distractors(random: np.random.Generator, x: Floats, y: Floats, pupil: Floats) -> Floats:
    """Draws up to three bright spots inside or outside of the ring of glints."""
    image = np.zeros_like(x)
    for _ in range(random.integers(0, 4)):
        angle, distance = random.uniform(0, 2 * np.pi), random.choice([random.uniform(0, 8), random.uniform(29, 42)])
        spot = pupil + distance * np.array([np.cos(angle), np.sin(angle)])
        image += random.uniform(60, 200) * _spot(x, y, spot[0], spot[1], random.uniform(1.0, 2.4))
    return image


def _lid(random: np.random.Generator, x: Floats, y: Floats, centre: Floats) -> Floats:
    """Draws how far each pixel is covered by the upper or the lower lid, from 0 to 1."""
    upper = centre[1] - random.uniform(15, 34) + random.uniform(0.004, 0.011) * (x - centre[0]) ** 2
    lower = centre[1] + random.uniform(24, 40) - random.uniform(0.002, 0.007) * (x - centre[0]) ** 2
    return np.maximum(_inside(y - upper, softness=0.9), _inside(lower - y, softness=0.9))


def _inside(distance: Floats, *, softness: float) -> Floats:
    """Gives 1 where a signed distance is well below zero, 0 where it is well above, and a soft edge between."""
    return 1 / (1 + np.exp(np.clip(distance / softness, -50, 50)))


def _mix(outside: Floats, inside: Floats | float, distance: Floats, *, softness: float) -> Floats:
    weight = _inside(distance, softness=softness)
    return outside * (1 - weight) + inside * weight


def _spot(x: Floats, y: Floats, centre_x: float, centre_y: float, radius: float) -> Floats:
    return np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * (0.75 * radius) ** 2))


def _cloud(random: np.random.Generator, size: int, cells: int) -> Floats:
    """Draws smooth noise with about `cells` bumps across the image: random values, interpolated."""
    grid = random.normal(0, 1, (cells, cells))
    at = np.linspace(0, cells - 1, size)
    low = np.minimum(at.astype(int), cells - 2)
    weight = at - low
    rows = grid[low] * (1 - weight)[:, None] + grid[low + 1] * weight[:, None]
    return rows[:, low] * (1 - weight) + rows[:, low + 1] * weight
