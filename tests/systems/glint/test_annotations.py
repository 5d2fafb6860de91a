import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import DataError
from holdfast.systems.glint.annotations import Annotation, labelme_document, read_annotation


def circle(label: str, *points: Any, kind: str = "circle") -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": list(points) or [[10.5, 20.5], [13.5, 24.5]]}


@pytest.fixture
def read(tmp_path: Path):
    """Writes a Labelme file beside a picture and reads it."""

    def command(*shapes: Any, empty: bool = False, ignore: tuple[str, ...] = (), **others: Any) -> Annotation:
        (tmp_path / "eye.png").write_bytes(b"looked at later")
        path = tmp_path / "eye.json"
        document = {"shapes": list(shapes), "imagePath": "eye.png", "imageWidth": 64, "imageHeight": 48, **others}
        path.write_text(json.dumps(document))
        return read_annotation(path, num_glints=8, prefix="g", ignore=ignore, empty=empty)

    return command


@pytest.fixture
def refused(read, tmp_path: Path):
    def command(message: str, *shapes: Any, **others: Any) -> None:
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            read(*shapes, **others)
        assert str(caught.value).startswith(f"{tmp_path / 'eye.json'}: ")
        assert "\n" not in str(caught.value)

    return command


def test_a_circle_is_a_glint_with_its_place_and_radius(read, tmp_path: Path):
    annotation = read(circle("g3"))
    assert annotation.circles == {2: (10.0, 20.0, 5.0)}
    assert annotation.picture == tmp_path / "eye.png"
    assert annotation.said_size == (64, 48)


def test_what_is_written_is_what_is_read(read):
    circles = {"g1": (1.25, 2.5, 3.0), "g8": (40.0, 0.0, 0.5)}
    assert read(**labelme_document("eye.png", (64, 48), circles)).circles == {0: (1.25, 2.5, 3.0), 7: (40.0, 0.0, 0.5)}


def test_other_shapes_and_ignored_labels_are_left_out_and_told(read):
    annotation = read(circle("g1"), circle("pupil", kind="polygon"), circle("lamp"), ignore=("lamp",))
    assert list(annotation.circles) == [0]
    assert annotation.ignored == ["polygon pupil", "circle lamp"]


@pytest.mark.parametrize("label", ["g9", "g0", "g01", "G1", "glint", "1", ""])
def test_a_circle_of_another_label_is_refused(refused, label: str):
    refused(f"shape 2: the label of a circle must be g1 to g8, but is {label!r}", circle("g1"), circle(label))


def test_a_glint_that_is_no_circle_is_refused(refused):
    refused("shape 1: `g2` must be a circle, but is a point", circle("g2", [1, 2], kind="point"))


def test_a_glint_that_is_there_twice_is_refused(refused):
    refused("shape 3: `g2` must be there once, but this is the second one", circle("g2"), circle("g1"), circle("g2"))


@pytest.mark.parametrize("points", [[[1, 2]], [[1, 2], [3]], [[1, 2], ["a", 4]], [[1, 2], [3, 4], [5, 6]]])
def test_a_circle_of_other_points_is_refused(refused, points: list[Any]):
    refused("shape 1: `g1` must have two points, x and y each, but got", circle("g1", *points))


def test_a_place_that_is_no_number_is_refused(refused):
    refused("shape 1: `g1` must lie at finite places", circle("g1", [float("nan"), 2], [3, 4]))


def test_a_file_without_circles_is_refused_or_kept(refused, read):
    refused(
        "`shapes` must hold a circle, but there is none; keep such eyes by --empty keep", circle("lid", kind="line")
    )
    assert read(empty=True).circles == {}


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "it must be a JSON document, but is none (Expecting property name"),
        (b"\xff\xfe\x00", "it must be a JSON document, but is none ('utf-8"),
        (b"[1, 2]", "it must be a Labelme file, but has no `shapes`"),
        (b'{"shapes": {}}', "`shapes` must be a list of shapes"),
        (b'{"shapes": [3]}', "`shapes` must be a list of shapes"),
    ],
)
def test_another_kind_of_document_is_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "eye.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        read_annotation(path, num_glints=8, prefix="g", ignore=(), empty=True)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path):
    (tmp_path / "eye.png").touch()
    path = tmp_path / "eye.json"
    path.write_text(json.dumps({"shapes": [circle("g1")], "imagePath": "eye.png"}), encoding="utf-8-sig")
    assert list(read_annotation(path, num_glints=8, prefix="g", ignore=(), empty=False).circles) == [0]


def test_a_picture_is_found_by_a_windows_path_or_beside_its_file(read, tmp_path: Path):
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "one.png").touch()
    assert read(circle("g1"), imagePath="left\\one.png").picture == tmp_path / "left" / "one.png"
    assert read(circle("g1"), imagePath="C:\\eyes\\elsewhere.png").picture == tmp_path / "eye.png"


def test_a_picture_inside_of_the_file_is_taken_when_there_is_no_other(read):
    content = base64.b64encode(b"pixels").decode()
    assert read(circle("g1"), imagePath="gone.bmp", imageData=content).picture == b"pixels"


def test_a_picture_that_is_nowhere_is_named(refused):
    refused("`imagePath` must name a picture, but there is no 'gone.bmp'", circle("g1"), imagePath="gone.bmp")
    refused("`imageData` must be a picture in base64", circle("g1"), imagePath="gone.bmp", imageData="a")
