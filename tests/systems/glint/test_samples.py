from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.errors import DataError
from holdfast.systems.glint.data import build_data
from holdfast.systems.glint.samples import draw_eye, make_data

from .eyes import config_for, opened


def test_made_data_has_the_layout_of_real_data(tmp_path: Path):
    make_data(tmp_path, 6, 1)
    with opened(tmp_path / "eyes_96.h5") as file:
        layout = {key: (str(file[key].dtype), file[key].shape, file[key].compression) for key in file}
        attributes = {key: file.attrs[key] for key in file.attrs}
        stems = file["stems"].asstr()[:].tolist()
    assert layout == {
        "images": ("uint8", (6, 96, 96), "gzip"),
        "heatmaps": ("float16", (6, 8, 48, 48), "gzip"),
        "present": ("uint8", (6, 8), "gzip"),
        "stems": ("object", (6,), None),
    }
    assert attributes == {
        "num_classes": 8, "img_h": 96, "img_w": 96, "hm_h": 48, "hm_w": 48,
        "sigma_scale": 1.2, "sigma_min": 4.0, "prefix": "g",
    }  # fmt: skip
    assert stems[0] == "eye_000000"


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(tmp_path: Path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_data(tmp_path / folder, 3, seed)
    files = {folder: (tmp_path / folder / "eyes_96.h5").read_bytes() for folder in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_more_samples_begin_with_the_same_ones(tmp_path: Path):
    make_data(tmp_path / "few", 2, 1)
    make_data(tmp_path / "many", 5, 1)
    with opened(tmp_path / "few" / "eyes_96.h5") as few, opened(tmp_path / "many" / "eyes_96.h5") as many:
        assert np.array_equal(few["images"][:], many["images"][:2])


def test_maps_show_exactly_the_glints_that_are_present(tmp_path: Path):
    make_data(tmp_path, 20, 3)
    with opened(tmp_path / "eyes_96.h5") as file:
        assert np.array_equal(file["heatmaps"][:].max(axis=(2, 3)) > 0.5, file["present"][:] > 0)
        assert 0.6 < file["present"][:].mean() < 0.95


def test_a_glint_that_is_present_is_brighter_than_one_that_is_not():
    inside, missing = [], []
    for index in range(60):
        eye = draw_eye(96, (0, index))
        for (x, y), present in zip(eye.positions.round().astype(int), eye.present, strict=True):
            if min(x, y) >= 2 and max(x, y) < 94:
                patch = eye.image[y - 1 : y + 2, x - 1 : x + 2].mean()
                (inside if present else missing).append(patch)
    assert np.mean(inside) > np.mean(missing) + 20


def test_held_out_eyes_are_pictures_that_are_not_in_the_data_set(tmp_path: Path):
    make_data(tmp_path, 10, 1)
    pictures = sorted((tmp_path / "images").iterdir())
    assert [picture.name for picture in pictures] == [f"eye_{number:02}.png" for number in range(1, 9)]
    with opened(tmp_path / "eyes_96.h5") as file:
        for picture in pictures:
            assert not (np.array(Image.open(picture)) == file["images"][:]).all(axis=(1, 2)).any()


def test_made_data_is_what_the_data_set_reads(tmp_path: Path):
    make_data(tmp_path, 8, 1, image_size=64, stride=2)
    data = build_data(config_for(tmp_path, model={"output_stride": 2}))
    assert (len(data.train), len(data.val)) == (6, 2)  # pyright: ignore[reportArgumentType]


def test_an_existing_data_set_is_never_overwritten(tmp_path: Path):
    make_data(tmp_path, 2, 1)
    before = (tmp_path / "eyes_96.h5").read_bytes()
    with pytest.raises(DataError, match=r"must write new files, but .*eyes_96\.h5 exists"):
        make_data(tmp_path, 3, 2)
    assert (tmp_path / "eyes_96.h5").read_bytes() == before
