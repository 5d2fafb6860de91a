import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from holdfast.errors import DataError
from holdfast.systems.inktrace.fields import CHANNELS, Fields, draw_fields, draw_image
from holdfast.systems.inktrace.folder import InkFolder, write_sample
from holdfast.systems.inktrace.images import framed, read_ink
from holdfast.systems.inktrace.keypoints import within
from holdfast.systems.inktrace.samples import make_data

from .drawings import drawing, straight


def written(folder: Path, name: str, paths, size: int) -> tuple[np.ndarray, Fields]:
    image, fields = draw_image(paths, size), draw_fields(paths, size)
    write_sample(folder, name, image, fields)
    return image, fields


def test_what_is_written_is_read_again(tmp_path: Path):
    image, fields = written(tmp_path, "a", drawing(1), 32)
    read, read_fields = InkFolder(tmp_path, 32)[0]
    assert np.abs(read - image).max() < 1 / 255
    assert all(np.array_equal(one, other) for one, other in zip(fields, read_fields, strict=True))


def test_the_files_have_the_shapes_and_kinds_that_are_documented(tmp_path: Path):
    written(tmp_path, "a", drawing(1), 32)
    with np.load(tmp_path / "a.npz") as stored:
        assert {name: stored[name].shape for name in stored} == {
            "skeleton": (1, 32, 32), "keypoints": (2, 32, 32), "tangent": (2, 32, 32),
            "width": (1, 32, 32), "offset": (2, 32, 32),
        }  # fmt: skip
        assert {str(stored[name].dtype) for name in ("skeleton", "keypoints")} == {"uint8"}
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.size) == ("L", (32, 32))


@pytest.mark.parametrize("size", [16, 24, 48, 64])
def test_pictures_of_another_size_are_brought_to_that_of_the_network(tmp_path: Path, size: int):
    paths = [straight((6.0, 10.0), (26.0, 22.0), width=3.0)]
    written(tmp_path, "a", paths, 32)
    factor = size / 32
    larger = [[piece._replace(
        points=tuple((x * factor, y * factor) for x, y in piece.points),
        widths=tuple(width * factor for width in piece.widths),
    ) for piece in path] for path in paths]  # fmt: skip
    image, fields = InkFolder(tmp_path, size)[0]
    expected = draw_fields(larger, size)
    on, should = (torch.from_numpy(each.skeleton[None] > 0) for each in (fields, expected))
    # Sampling differs, so the corners of a staircase may; nothing may be missing or far away.
    assert not (on & ~within(should, 1)).any() and not (should & ~within(on, 1)).any()
    assert (on & should).sum() > 0.75 * max(on.sum(), should.sum())
    both = (on & should)[0, 0].numpy()
    assert np.abs(fields.tangent[:, both] - expected.tangent[:, both]).max() < 1e-3
    assert np.abs(fields.width[0][both] - expected.width[0][both]).max() < 1e-3
    places = [np.argwhere(each.keypoints) for each in (fields, expected)]
    assert np.abs(places[0] - places[1]).max() <= 1
    assert np.abs(image - draw_image(larger, size)).mean() < 0.02


def test_a_picture_that_is_not_square_lies_in_the_middle(tmp_path: Path):
    ink = np.zeros((16, 32), np.float32)
    ink[8, 4:28] = 1
    square, frame = framed(ink, 32)
    assert np.argwhere(square.any(axis=1)).ravel().tolist() == [16]
    assert frame.into(np.array([4.0, 8.0])).tolist() == [4.0, 16.0]
    assert frame.out_of(frame.into(np.array([3.0, 5.0]))).tolist() == [3.0, 5.0]


@pytest.mark.parametrize("height", [31, 20])
def test_fields_of_a_picture_that_is_not_square_are_moved_with_it(tmp_path: Path, height: int):
    image, fields = (
        draw_image([straight((4.5, 10.5), (28.5, 10.5))], 32),
        draw_fields([straight((4.5, 10.5), (28.5, 10.5))], 32),
    )
    write_sample(tmp_path, "a", image[:, :height], Fields(*(field[:, :height] for field in fields)))
    moved, moved_fields = InkFolder(tmp_path, 32)[0]
    down = (32 - height) // 2
    assert moved.shape == (1, 32, 32)
    assert np.array_equal(moved_fields.skeleton[0, 10 + down], fields.skeleton[0, 10])
    assert moved_fields.skeleton.sum() == fields.skeleton.sum()


def test_dark_ink_on_light_paper_and_light_ink_on_dark_are_the_same_ink(tmp_path: Path):
    grey = np.zeros((32, 32), np.uint8)
    grey[10:12, 5:20] = 255
    Image.fromarray(grey).save(tmp_path / "light.png")
    Image.fromarray(255 - grey).save(tmp_path / "dark.png")
    see_through = np.zeros((32, 32, 4), np.uint8)
    see_through[..., 3] = grey
    Image.fromarray(see_through).save(tmp_path / "transparent.png")
    read = [read_ink(tmp_path / f"{name}.png", what="") for name in ("light", "dark", "transparent")]
    assert all(np.array_equal(ink, grey / 255) for ink in read)


def test_sixteen_bits_are_read_as_grey(tmp_path: Path):
    deep = np.zeros((32, 32), np.uint16)
    deep[10:12, 5:20] = 65_535
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_ink(tmp_path / "deep.png", what=""), deep / 65_535)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        InkFolder(folder, 32)


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path: Path):
    refused(tmp_path / "nowhere", r"must be a folder .*nowhere is nothing; make one with `holdfast make-data inktrace")
    refused(tmp_path, "has none")


@pytest.mark.parametrize("gone, kept", [("png", "npz"), ("npz", "png")])
def test_a_file_without_its_other_half_is_named(tmp_path: Path, gone: str, kept: str):
    for name in ("a", "b"):
        written(tmp_path, name, drawing(1), 32)
    (tmp_path / f"b.{gone}").unlink()
    refused(tmp_path, rf"b\.{kept} has no {gone}")


def test_what_is_no_picture_is_named(tmp_path: Path):
    written(tmp_path, "a", drawing(1), 32)
    (tmp_path / "a.png").write_bytes(b"no picture")
    refused(tmp_path, r"a\.png is none")


def test_what_is_no_archive_is_named(tmp_path: Path):
    written(tmp_path, "a", drawing(1), 32)
    (tmp_path / "a.npz").write_bytes(b"no archive")
    refused(tmp_path, r"a\.npz is none")


@pytest.mark.parametrize("name", list(CHANNELS))
def test_a_field_that_is_missing_or_of_another_shape_is_named(tmp_path: Path, name: str):
    _, fields = written(tmp_path, "a", drawing(1), 32)
    others = {key: field for key, field in fields._asdict().items() if key != name}
    np.savez(tmp_path / "a.npz", **others)
    refused(tmp_path, rf"`{name}` must be in .*a\.npz")
    np.savez(tmp_path / "a.npz", **others, **{name: np.zeros((1, 8, 8))})
    refused(tmp_path, re.escape(f"must have the shape ({CHANNELS[name]}, 32, 32)"))


def test_numbers_that_are_not_finite_are_named_when_they_are_read(tmp_path: Path):
    _, fields = written(tmp_path, "a", drawing(1), 32)
    fields.width[0, 3, 3] = np.nan
    np.savez(tmp_path / "a.npz", **fields._asdict())
    with pytest.raises(DataError, match=r"`width` in .*a\.npz must hold finite numbers"):
        InkFolder(tmp_path, 32)[0]


def test_code_in_a_file_is_never_run(tmp_path: Path):
    written(tmp_path, "a", drawing(1), 32)
    with np.load(tmp_path / "a.npz") as stored:
        arrays = dict(stored)
    arrays["width"] = np.full((1, 32, 32), None, object)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match="allow_pickle"):
        InkFolder(tmp_path, 32)[0]


def test_the_fingerprint_differs_when_a_file_does(tmp_path: Path):
    make_data(tmp_path, 3, 1, size=32)
    before = InkFolder(tmp_path, 32).fingerprint
    assert InkFolder(tmp_path, 32).fingerprint == before
    written(tmp_path, "ink_000002", drawing(9, level=9), 32)
    assert InkFolder(tmp_path, 32).fingerprint != before


def test_made_data_is_the_same_for_a_seed_and_overwrites_nothing(tmp_path: Path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_data(tmp_path / folder, 2, seed, size=32)
    files = [[path.read_bytes() for path in sorted((tmp_path / folder).iterdir())] for folder in "abc"]
    assert files[0] == files[1] != files[2]
    with pytest.raises(DataError, match=r"ink_000000\.npz exists"):
        make_data(tmp_path / "a", 2, 3, size=32)
