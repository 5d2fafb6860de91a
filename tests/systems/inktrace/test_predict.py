import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from holdfast.errors import DataError
from holdfast.systems.inktrace.data import build_data
from holdfast.systems.inktrace.fields import draw_fields, draw_image
from holdfast.systems.inktrace.model import InkNet, Prediction, build_model
from holdfast.systems.inktrace.painting import paint_keypoints, paint_tangent, paint_width
from holdfast.systems.inktrace.pictures import build_pictures
from holdfast.systems.inktrace.predict import predict

from .drawings import config_for, logits, straight


class SeesOneStroke(InkNet):
    """A network for pictures of 32 x 32 that says the same of every one."""

    def __init__(self, *, full: bool = True) -> None:
        config = config_for(model={"full_heads": full})
        super().__init__(config.model, config.data.img_size)
        self.full = full
        fields = draw_fields([straight((4.5, 16.5), (28.5, 16.5), width=3.0)], 32)
        self.said = {name: torch.from_numpy(field)[None] for name, field in fields._asdict().items()}

    def forward(self, image: Tensor) -> Prediction:
        assert image.shape == (1, 1, 32, 32)
        said = Prediction(logits(self.said["skeleton"]), self.said["tangent"])
        if not self.full:
            return said
        return said._replace(
            keypoints=logits(self.said["keypoints"]), width=self.said["width"], offset=self.said["offset"]
        )


def picture(path: Path, size: tuple[int, int] = (32, 32)) -> Path:
    grey = np.full((size[1], size[0]), 255, np.uint8)
    grey[size[1] // 2, 4:-4] = 0
    Image.fromarray(grey).save(path)
    return path


def predicted(inputs: list[Path], tmp_path: Path, *, full: bool = True) -> list[dict]:
    output = tmp_path / "output"
    output.mkdir(exist_ok=True)
    return list(predict(config_for(model={"full_heads": full}), SeesOneStroke(full=full), inputs, output))


def test_every_field_becomes_a_picture_and_the_strokes_an_svg(tmp_path: Path):
    source = picture(tmp_path / "note.png")
    (record,) = predicted([source], tmp_path)
    names = {path.name for path in (tmp_path / "output").iterdir()}
    assert names == {
        "note_fields.png", "note_skeleton.png", "note_keypoints.png", "note_tangent.png", "note_width.png",
        "note_strokes.svg",
    }  # fmt: skip
    assert record["input"] == str(source)
    assert {Path(record[key]).name for key in ("picture", "skeleton", "keypoints", "tangent", "width", "svg")} == names
    with Image.open(record["skeleton"]) as shown:
        pixels = np.array(shown)
    assert pixels.shape == (192, 192, 3)
    assert pixels[16 * 6 + 3, 100].tolist() == [255, 255, 255] and pixels[20 * 6, 100].max() == 0
    assert json.loads(json.dumps(record)) == record


def test_strokes_are_in_pixels_of_the_picture_whatever_its_size(tmp_path: Path):
    (record,) = predicted([picture(tmp_path / "wide.png", (128, 64))], tmp_path)
    ((piece,),) = record["strokes"]
    # Four pixels of the picture are one of the square, and the picture lies eight of these below its top.
    assert piece["points"][0] == pytest.approx([18, 34], abs=2) and piece["points"][3] == pytest.approx(
        [114, 34], abs=2
    )
    assert piece["widths"] == pytest.approx([12, 12, 12], abs=0.5)
    with Image.open(record["width"]) as shown:
        assert shown.size == (192, 96)


def test_the_svg_is_a_document_of_the_picture_s_size_with_a_curve_for_each_piece(tmp_path: Path):
    (record,) = predicted([picture(tmp_path / "wide.png", (128, 64))], tmp_path)
    root = ET.parse(record["svg"]).getroot()
    assert root.get("viewBox") == "0 0 128 64"
    (curve,) = root.iter("{http://www.w3.org/2000/svg}path")
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", curve.get("d") or "")]
    flat = [value for point in record["strokes"][0][0]["points"] for value in point]
    assert numbers == pytest.approx(flat, abs=0.01)
    assert float(curve.get("stroke-width") or 0) == pytest.approx(12, abs=0.5)


def test_the_first_stage_predicts_what_it_has_heads_for(tmp_path: Path):
    (record,) = predicted([picture(tmp_path / "note.png")], tmp_path, full=False)
    assert {"skeleton", "tangent"} <= set(record) and not {"width", "keypoints"} & set(record)
    assert len(record["strokes"]) == 1


def test_a_folder_means_its_pictures_and_equal_names_do_not_overwrite_each_other(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "note.png")
    (tmp_path / "a" / "fields.npz").write_bytes(b"not a picture")
    records = predicted([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert [Path(record["svg"]).name for record in records] == ["note_strokes.svg", "note-2_strokes.svg"]


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n cut"])
def test_what_is_no_picture_is_named_before_anything_is_written(tmp_path: Path, content: bytes):
    good, bad = picture(tmp_path / "good.png"), tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"`predict` must be given pictures, but {bad} cannot be read")):
        predicted([good, bad], tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


def test_a_folder_without_pictures_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds none"):
        predicted([tmp_path / "empty"], tmp_path)


def test_an_empty_picture_has_an_svg_without_strokes(tmp_path: Path):
    Image.new("L", (40, 40), 255).save(tmp_path / "blank.png")
    model = SeesOneStroke()
    model.said["skeleton"] = 0 * model.said["skeleton"]
    (tmp_path / "output").mkdir()
    (record,) = predict(config_for(), model, [tmp_path / "blank.png"], tmp_path / "output")
    assert record["strokes"] == []
    assert not list(ET.parse(record["svg"]).getroot().iter("{http://www.w3.org/2000/svg}path"))


def test_a_level_line_is_red_and_an_upright_one_cyan():
    tangent = np.zeros((2, 1, 2), np.float32)
    tangent[0] = 1, -1
    assert paint_tangent(tangent, np.ones((1, 2), np.float32)).tolist() == [[[255, 0, 0], [0, 255, 255]]]
    assert paint_tangent(tangent, np.zeros((1, 2), np.float32)).max() == 0


def test_a_wide_stroke_is_lighter_than_a_narrow_one():
    picture = paint_width(np.array([[0.0, 0.25, 0.5, 0.9]], np.float32), np.ones((1, 4), np.float32))[0]
    assert (np.diff(picture[:3].sum(axis=1, dtype=int)) > 0).all()
    assert picture[3].tolist() == picture[2].tolist()


def test_nodes_are_orange_and_anchors_blue_over_dim_ink():
    chances = np.zeros((2, 1, 3), np.float32)
    chances[0, 0, 0] = chances[1, 0, 1] = 1
    node, anchor, ink = paint_keypoints(chances, np.ones((1, 3), np.float32))[0].astype(int)
    assert node[0] > node[2] + 100 and anchor[2] > anchor[0] + 100
    assert ink[0] == ink[1] == ink[2] < 128


@pytest.mark.parametrize("full, tiles", [(True, 9), (False, 5)])
def test_the_picture_of_a_batch_shows_what_was_seen_true_and_said(full: bool, tiles: int):
    config = config_for(model={"full_heads": full})
    train = build_data(config).train
    batch = default_collate([train[index % 6] for index in range(8)])
    model = build_model(config).eval()
    (name, shown), = build_pictures(config, model, batch).items()  # fmt: skip
    assert (name, shown.dtype, tuple(shown.shape)) == ("Fields", torch.uint8, (16 + 6 * 100, tiles * 100 - 4, 3))
    seen = shown[16 + 1 : 16 + 96 : 3, 1:96:3, 0] / 255
    assert torch.allclose(seen, batch["image"][0, 0], atol=1 / 255)
    true = shown[16 + 1 : 16 + 96 : 3, 101:196:3, 0] / 255
    assert torch.equal(true, batch["skeleton"][0, 0])


def test_ink_of_a_drawing_is_seen_as_it_was_drawn(tmp_path: Path):
    assert draw_image([], 32).sum() == 0
