import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from holdfast.errors import DataError
from holdfast.systems.glint.pictures import build_pictures, overlay
from holdfast.systems.glint.predict import predict

from .eyes import config_for, gaussian, write_file


class OneGlint(nn.Module):
    """A model for images of 64 x 64 that sees g3 at the brightest pixel and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("image_size", torch.tensor([64, 64]))

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[2:] == (64, 64)
        maps = torch.zeros(len(image), 8, 16, 16)
        for number, one in enumerate(image):
            y, x = divmod(int(one[0].argmax()), 64)
            maps[number, 2] = gaussian(x, y)
        return torch.logit(maps.clamp(1e-4, 1 - 1e-4))


def picture(path: Path, size: tuple[int, int], x: int, y: int, *, wide: int = 1) -> Path:
    image = np.zeros((size[1], size[0]), np.uint8)
    image[y : y + wide, x : x + wide] = 255
    Image.fromarray(image).save(path)
    return path


def predicted(inputs: list[Path], tmp_path: Path) -> list[dict]:
    output = tmp_path / "output"
    output.mkdir()
    return list(predict(config_for(), OneGlint(), inputs, output))


def test_a_glint_is_reported_and_drawn(tmp_path: Path):
    source = picture(tmp_path / "left.png", (64, 64), 21, 34)
    (record,) = predicted([source], tmp_path)
    assert (record["input"], record["picture"]) == (str(source), str(tmp_path / "output" / "left_glints.png"))
    (glint,) = record["glints"]
    assert glint["id"] == "g3"
    assert (glint["x"], glint["y"]) == pytest.approx((21, 34), abs=0.1)
    assert 0.3 < glint["confidence"] <= 1
    drawn = np.array(Image.open(record["picture"]))
    assert drawn.shape == (384, 384, 3)
    assert (np.ptp(drawn, axis=2) > 60).any()


def test_positions_are_in_pixels_of_the_original_whatever_its_size(tmp_path: Path):
    # Four by two pixels of the original become one: 40..43 and 60..61 are pixel 10 and pixel 30.
    (record,) = predicted([picture(tmp_path / "wide.png", (256, 128), 40, 60, wide=4)], tmp_path)
    assert record["glints"][0]["x"] == pytest.approx(41.5, abs=0.3)
    assert record["glints"][0]["y"] == pytest.approx(60.5, abs=0.3)


def test_colours_and_sixteen_bits_are_read_as_grey(tmp_path: Path):
    deep = np.full((64, 64), 20_000, np.uint16)
    deep[34, 21] = 40_000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[34, 21] = (90, 200, 30)
    Image.fromarray(colours).save(tmp_path / "colours.bmp")
    for record in predicted([tmp_path / "deep.png", tmp_path / "colours.bmp"], tmp_path):
        assert (record["glints"][0]["x"], record["glints"][0]["y"]) == pytest.approx((21, 34), abs=0.1)


def test_a_folder_means_its_pictures_and_equal_names_do_not_overwrite_each_other(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "eye.png", (64, 64), 20, 20)
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    records = predicted([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert [Path(record["picture"]).name for record in records] == ["eye_glints.png", "eye-2_glints.png"]


def test_an_hdf5_file_means_its_images(tmp_path: Path):
    images = np.zeros((4, 64, 64), np.uint8)
    images[:, 34, 21] = 255
    path = write_file(tmp_path / "eyes.h5", images=images, stems=["p", "q", "r", "s"])
    records = predicted([path], tmp_path)
    assert [record["input"] for record in records] == [f"{path}:{name}" for name in "pqrs"]
    assert [Path(record["picture"]).name for record in records] == [f"{name}_glints.png" for name in "pqrs"]
    assert records[3]["glints"][0]["x"] == pytest.approx(21, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n cut"])
def test_what_is_no_picture_is_named_before_anything_is_written(tmp_path: Path, content: bytes):
    good, bad = picture(tmp_path / "good.png", (64, 64), 9, 9), tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{bad} must be a picture, but cannot be read")):
        predicted([good, bad], tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


def test_a_picture_that_was_cut_short_is_named_before_anything_is_written(tmp_path: Path):
    good, bad = picture(tmp_path / "good.png", (64, 64), 9, 9), tmp_path / "short.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"short\.jpg must be a picture, but cannot be read \(image file is truncated"):
        predicted([good, bad], tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


def test_a_folder_without_pictures_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds none"):
        predicted([tmp_path / "empty"], tmp_path)


def test_circles_and_crosses_stand_around_the_glints_and_leave_them_visible():
    drawn = np.array(overlay(Image.new("L", (96, 96)), true={0: (24.0, 24.0)}, predicted={3: (72.0, 60.0)})).max(axis=2)
    for x, y in ((24.5, 24.5), (72.5, 60.5)):
        column, row = round(4 * x), round(4 * y)
        assert drawn[row - 2 : row + 3, column - 2 : column + 3].max() == 0, "nothing lies on the glint itself"
        around = drawn[row - 12 : row + 13, column - 12 : column + 13]
        assert around.max() > 100
        assert np.argwhere(around > 50).mean(axis=0).tolist() == pytest.approx([12, 12], abs=0.6), "all lies around it"


@pytest.mark.parametrize("count, shape", [(1, (256, 256, 3)), (5, (518, 1042, 3)), (9, (518, 1042, 3))])
def test_the_picture_of_a_batch_shows_up_to_eight_eyes(count: int, shape: tuple[int, int, int]):
    batch = {
        "image": torch.rand(count, 1, 64, 64),
        "heatmap": gaussian(20, 30).expand(count, 8, 16, 16),
        "present": torch.ones(count, 8, dtype=torch.bool),
    }
    pictures = build_pictures(config_for(), OneGlint(), batch)
    assert list(pictures) == ["Glints"]
    assert (pictures["Glints"].shape, pictures["Glints"].dtype) == (shape, torch.uint8)
