"""Labelme files become a data set: exactly, wholly or not at all, and again after a kill."""

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from holdfast.errors import DataError
from holdfast.systems.glint import packing
from holdfast.systems.glint.annotations import labelme_document
from holdfast.systems.glint.config import ConvertOptions
from holdfast.systems.glint.convert import convert
from holdfast.systems.glint.data import build_data
from holdfast.systems.glint.peaks import find_peaks
from holdfast.systems.glint.samples import make_data, make_raw

from .eyes import config_for, opened

Circles = dict[str, tuple[float, float, float]]
HERE: Circles = {"g2": (20.0, 30.0, 2.0)}


def label(folder: Path, stem: str, circles: Circles = HERE, size: tuple[int, int] = (64, 48)) -> Path:
    """Writes a picture and its Labelme file."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(stem)).integers(0, 256, (size[1], size[0]), np.uint8)
    Image.fromarray(pixels).save(folder / f"{stem}.png")
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(labelme_document(f"{stem}.png", size, circles)))
    return path


def converted(source: Path, folder: Path, **options) -> str:
    return convert(ConvertOptions.model_validate(options), source, folder, lambda done, total: None)


def contents(folder: Path) -> dict[str, np.ndarray]:
    (path,) = folder.glob("*.h5")
    with opened(path) as file:
        return {key: file[key][:] for key in file}


def test_made_pictures_become_the_made_data_set(tmp_path: Path):
    make_data(tmp_path / "made", 6, 1)
    make_raw(tmp_path / "raw", 6, 1)
    converted(tmp_path / "raw", tmp_path / "packed")
    made, packed = contents(tmp_path / "made"), contents(tmp_path / "packed")
    assert np.array_equal(made["images"], packed["images"])
    assert np.array_equal(made["present"], packed["present"])
    assert list(made["stems"]) == list(packed["stems"])
    assert np.abs(made["heatmaps"].astype(float) - packed["heatmaps"]).max() < 2e-3


def test_the_layout_is_the_published_one(tmp_path: Path):
    label(tmp_path / "raw", "eye")
    converted(tmp_path / "raw", tmp_path / "packed", stride=4, sigma_min=2, compression="lzf")
    with opened(tmp_path / "packed" / "eyes_48x64.h5") as file:
        layout = {key: (str(file[key].dtype), file[key].shape, file[key].compression) for key in file}
        attributes = {key: file.attrs[key] for key in file.attrs}
    assert layout == {
        "images": ("uint8", (1, 48, 64), "lzf"),
        "heatmaps": ("float16", (1, 8, 12, 16), "lzf"),
        "present": ("uint8", (1, 8), "lzf"),
        "stems": ("object", (1,), None),
    }
    assert attributes == {
        "num_classes": 8, "img_h": 48, "img_w": 64, "hm_h": 12, "hm_w": 16,
        "sigma_scale": 1.2, "sigma_min": 2.0, "prefix": "g",
    }  # fmt: skip


@pytest.mark.parametrize("size", [(64, 48), (640, 240), (32, 32)])
def test_a_glint_lies_where_it_was_labelled_whatever_the_picture_is_resized_to(tmp_path: Path, size):
    label(tmp_path / "raw", "eye", {"g2": (0.4 * size[0] - 0.5, 0.6 * size[1] - 0.5, 1.0)}, size)
    converted(tmp_path / "raw", tmp_path / "packed", size=[96, 128], stride=1)
    (maps,) = contents(tmp_path / "packed")["heatmaps"].astype(np.float32)
    peaks = find_peaks(torch.from_numpy(maps)[None], stride=1, threshold=0.3)
    assert peaks.found[0].tolist() == [False, True] + 6 * [False]
    # The same place of the picture, counted from its edge.
    assert peaks.positions[0, 1].tolist() == pytest.approx([0.4 * 128 - 0.5, 0.6 * 96 - 0.5], abs=0.02)


def test_sigma_follows_the_radius_and_has_two_smallest_values(tmp_path: Path):
    circles = {"g1": (16.0, 24.0, 0.0), "g2": (16.0, 24.0, 5.0), "g3": (40.0, 48.0, 20.0)}
    label(tmp_path / "raw", "eye", circles, (128, 96))
    converted(tmp_path / "raw", tmp_path / "p", size=[48, 64], stride=1, sigma_scale=0.5, sigma_min=3, sigma_floor=1)
    maps = contents(tmp_path / "p")["heatmaps"][0].astype(float)
    # A Gaussian covers 2 pi sigma^2; in the image, every length is half of that in the picture.
    sigmas = np.sqrt(maps[:3].sum(axis=(1, 2)) / (2 * np.pi))
    assert sigmas == pytest.approx([1.5, 1.5, 5.0], rel=0.02)


def test_pictures_are_shrunk_by_area(tmp_path: Path):
    label(tmp_path / "raw", "eye", size=(128, 64))
    original = np.array(Image.open(tmp_path / "raw" / "eye.png")).astype(float)
    converted(tmp_path / "raw", tmp_path / "packed", size=[32, 64])
    means = original.reshape(32, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(contents(tmp_path / "packed")["images"][0] - means).max() <= 1


def test_what_is_packed_is_what_training_reads(tmp_path: Path):
    for number in range(4):
        label(tmp_path / "raw" / f"day{number % 2}", f"eye{number}")
    said = converted(tmp_path / "raw", tmp_path / "packed")
    data = build_data(config_for(tmp_path / "packed", model={"output_stride": 2}))
    assert (len(data.train), len(data.val)) == (3, 1)  # pyright: ignore[reportArgumentType]
    assert said == f"wrote 4 eyes to {tmp_path / 'packed' / 'eyes_48x64.h5'}"
    names = [stem.decode() for stem in contents(tmp_path / "packed")["stems"]]
    assert names == ["day0/eye0", "day0/eye2", "day1/eye1", "day1/eye3"]


def test_what_was_skipped_is_told_with_the_reason(tmp_path: Path):
    raw = tmp_path / "raw"
    label(raw, "a")
    label(raw, "b", {"g9": (1, 1, 1)})
    label(raw, "c", {})
    label(raw, "d")
    (raw / "d.png").write_bytes((raw / "d.png").read_bytes()[:-200])
    label(raw, "e", {"g1": (64.5, 1, 1)})
    (label(raw, "f")).with_suffix(".png").unlink()
    (label(raw, "g").with_suffix(".json")).unlink()
    label(raw, "h").write_text("{")
    label(raw, "i")
    Image.new("L", (32, 32)).save(raw / "i.png")
    said = converted(raw, tmp_path / "packed", bad="skip", size=64)
    assert said.startswith(f"wrote 1 eyes to {tmp_path / 'packed' / 'eyes_64.h5'}\nskipped 8 files, all in ")
    with (tmp_path / "packed" / "eyes_64_skipped.csv").open() as file:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    expected = {
        "b.json": "shape 1: the label of a circle must be g1 to g8, but is 'g9'",
        "c.json": "`shapes` must hold a circle, but there is none",
        "d.json": f"{raw / 'd.png'} must be a picture, but cannot be read (image file is truncated",
        "e.json": "`g1` must lie in the picture of 64 x 48, but its centre is 65, 1.5",
        "f.json": "`imagePath` must name a picture, but there is no 'f.png'",
        "g.png": "it has no Labelme file",
        "h.json": "it must be a JSON document, but is none",
        "i.json": f"{raw / 'i.png'} must be of 64 x 48 as the Labelme file says, but is of 32 x 32",
    }
    assert reasons.keys() == expected.keys()
    assert [name for name in reasons if not reasons[name].startswith(expected[name])] == []


def break_label(raw: Path) -> str:
    label(raw, "x", {"g9": (1, 1, 1)})
    return "x.json: shape 1: the label of a circle must be g1 to g8, but is 'g9'"


def break_picture(raw: Path) -> str:
    path = label(raw, "x").with_suffix(".png")
    path.write_bytes(path.read_bytes()[:-200])
    return f"x.json: {path} must be a picture, but cannot be read"


def break_place(raw: Path) -> str:
    label(raw, "x", {"g1": (1.0, 48.0, 2.0)})
    return "x.json: `g1` must lie in the picture of 64 x 48, but its centre is 1.5, 48.5"


@pytest.mark.parametrize("break_it", [break_label, break_picture, break_place])
def test_a_bad_file_stops_everything_and_leaves_nothing(tmp_path: Path, break_it):
    raw = tmp_path / "raw"
    label(raw, "a")
    message = break_it(raw)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        converted(raw, tmp_path / "packed")
    assert "--bad skip" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_a_bad_file_leaves_a_folder_that_was_there_as_it_was(tmp_path: Path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "notes.txt").write_text("mine")
    label(tmp_path / "raw", "a")
    break_picture(tmp_path / "raw")
    with pytest.raises(DataError):
        converted(tmp_path / "raw", tmp_path / "packed")
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["notes.txt"]


def test_all_files_bad_is_refused_with_the_first_reason(tmp_path: Path):
    break_label(tmp_path / "raw")
    with pytest.raises(DataError, match=r"must hold an eye .*the first of 1 that were skipped is x\.json: shape 1"):
        converted(tmp_path / "raw", tmp_path / "packed", bad="skip")
    shutil.rmtree(tmp_path / "raw")
    break_picture(tmp_path / "raw")
    with pytest.raises(DataError, match=r"must hold an eye .*the first of 1 that were skipped is x\.json: "):
        converted(tmp_path / "raw", tmp_path / "packed", bad="skip")
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("sizes", [[(64, 48), (96, 48)], [(60, 48)], [(16, 16)]])
def test_pictures_that_the_network_cannot_take_as_they_are_ask_for_a_size(tmp_path: Path, sizes):
    for number, size in enumerate(sizes):
        label(tmp_path / "raw", f"eye{number}", {"g1": (8, 8, 1)}, size)
    with pytest.raises(DataError, match="`--size` must say how large the images are to be"):
        converted(tmp_path / "raw", tmp_path / "packed")
    converted(tmp_path / "raw", tmp_path / "packed", size=64)


def test_an_impossible_size_is_refused_with_a_possible_one():
    with pytest.raises(ValueError, match="must be made of multiples of 16, 32 or more, but got 100; take 96"):
        ConvertOptions(size=100)


def test_a_folder_without_labelme_files_is_refused(tmp_path: Path):
    (tmp_path / "raw" / ".hidden").mkdir(parents=True)
    label(tmp_path / "raw" / ".hidden", "eye")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'raw'} must hold Labelme files (.json)")):
        converted(tmp_path / "raw", tmp_path / "packed")


def test_an_existing_data_set_is_never_overwritten(tmp_path: Path):
    label(tmp_path / "raw", "eye")
    converted(tmp_path / "raw", tmp_path / "packed")
    before = (tmp_path / "packed" / "eyes_48x64.h5").read_bytes()
    with pytest.raises(DataError, match=r"must write a new file, but .*eyes_48x64\.h5 exists"):
        converted(tmp_path / "raw", tmp_path / "packed", stride=4)
    assert (tmp_path / "packed" / "eyes_48x64.h5").read_bytes() == before


def killed_after(done: int, source: Path, folder: Path, **options) -> None:
    """Converts in a process of its own, which is killed once so many eyes are done."""
    child = os.fork()
    if child == 0:
        tell = lambda now, total: os.kill(os.getpid(), signal.SIGKILL) if now > done else None  # noqa: E731
        convert(ConvertOptions.model_validate(options), source, folder, tell)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.fixture
def seventy(tmp_path: Path) -> Path:
    """Enough pictures for more than one block."""
    for number in range(70):
        label(tmp_path / "raw", f"eye{number:02}", {"g1": (5.0 + number % 50, 20, 2)})
    return tmp_path / "raw"


def test_a_killed_conversion_goes_on_and_ends_with_the_same_bytes(seventy: Path, tmp_path: Path, monkeypatch):
    converted(seventy, tmp_path / "whole")
    killed_after(66, seventy, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("*.h5"))
    drawn: list[Path] = []
    picture = packing.Packer._picture
    monkeypatch.setattr(packing.Packer, "_picture", lambda self, one: drawn.append(one.path) or picture(self, one))
    said = converted(seventy, tmp_path / "packed")
    assert len(drawn) == 6
    assert said.endswith(", 64 of them made by an earlier attempt")
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("whole", "packed")]
    assert names[0] == names[1] == ["eyes_48x64.h5", "eyes_48x64_skipped.csv"]
    assert (tmp_path / "packed" / "eyes_48x64.h5").read_bytes() == (tmp_path / "whole" / "eyes_48x64.h5").read_bytes()


def test_a_block_in_which_everything_is_bad_is_no_obstacle(seventy: Path, tmp_path: Path):
    for number in range(64):
        (seventy / f"eye{number:02}.png").write_bytes(b"")
    assert converted(seventy, tmp_path / "packed", bad="skip").startswith("wrote 6 eyes to ")
    assert contents(tmp_path / "packed")["images"].shape == (6, 48, 64)


def test_what_changed_after_the_kill_is_made_anew(seventy: Path, tmp_path: Path):
    killed_after(66, seventy, tmp_path / "packed")
    label(seventy, "eye05", {"g7": (5, 20, 2)})
    assert "earlier attempt" not in converted(seventy, tmp_path / "packed")
    assert contents(tmp_path / "packed")["present"][5].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]


def test_another_option_after_the_kill_makes_everything_anew(seventy: Path, tmp_path: Path):
    killed_after(66, seventy, tmp_path / "packed")
    assert "earlier attempt" not in converted(seventy, tmp_path / "packed", stride=4)
    assert contents(tmp_path / "packed")["heatmaps"].shape == (70, 8, 12, 16)


def test_a_damaged_block_of_an_earlier_attempt_is_made_anew(seventy: Path, tmp_path: Path):
    killed_after(66, seventy, tmp_path / "packed")
    (block,) = (tmp_path / "packed" / ".eyes_48x64.h5.parts").glob("*.npz")
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(content)
    assert "earlier attempt" not in converted(seventy, tmp_path / "packed")


def test_a_kill_while_the_data_set_is_written_leaves_none(seventy: Path, tmp_path: Path, monkeypatch):
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("holdfast.durable.fsync_folder", lambda folder: None)
        monkeypatch.setattr("holdfast.systems.glint.eye_writing._lay_out", lambda *_: os.kill(os.getpid(), 9))
        converted(seventy, tmp_path / "packed")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not list((tmp_path / "packed").glob("*.h5"))
    assert "70 of them made by an earlier attempt" in converted(seventy, tmp_path / "packed")
    assert len(list((tmp_path / "packed").iterdir())) == 2


def test_two_conversions_into_one_file_are_refused(seventy: Path, tmp_path: Path):
    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(DataError, match="must be alone with"):
                converted(seventy, tmp_path / "packed")

    convert(ConvertOptions(), seventy, tmp_path / "packed", second)
    assert len(contents(tmp_path / "packed")["images"]) == 70
