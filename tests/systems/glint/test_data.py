import pickle
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from holdfast.errors import DataError
from holdfast.systems.glint.data import Eyes, build_data, coarser

from .eyes import config_for, gaussian, write_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    return write_file(
        tmp_path / "eyes.h5",
        images=random.integers(0, 256, (4, 64, 64), np.uint8),
        heatmaps=random.random((4, 8, 16, 16)).astype(np.float16),
        present=random.integers(0, 2, (4, 8), np.uint8),
    )


def eyes_of(path: Path, *, preload: bool) -> Eyes:
    eyes = build_data(config_for(path, data={"preload": preload})).train
    assert isinstance(eyes, Eyes)
    return eyes


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)


def test_a_sample_is_an_image_from_0_to_1_with_its_maps(tmp_path: Path):
    path = write_file(tmp_path / "eyes.h5", images=np.full((4, 64, 64), 255, np.uint8))
    sample = eyes_of(path, preload=True)[0]
    assert sample["image"].shape == (1, 64, 64)
    assert sample["image"].dtype == torch.float32
    assert sample["image"].unique().tolist() == [1.0]
    assert (sample["heatmap"].shape, sample["heatmap"].dtype) == ((8, 16, 16), torch.float32)
    assert (sample["present"].shape, sample["present"].dtype) == ((8,), torch.bool)


def test_preloaded_or_not_the_samples_are_the_same(file: Path):
    memory, disk = eyes_of(file, preload=True), eyes_of(file, preload=False)
    assert all(same(memory[index], disk[index]) for index in range(3))


@pytest.mark.parametrize("preload", [True, False])
def test_a_pickled_data_set_reads_on(file: Path, preload: bool):
    eyes = eyes_of(file, preload=preload)
    first = eyes[0]
    assert same(pickle.loads(pickle.dumps(eyes))[0], first)


def test_forked_workers_and_their_parent_read_at_the_same_time(file: Path):
    eyes = eyes_of(file, preload=False)
    expected = [eyes[index] for index in range(3)]
    for index, sample in enumerate(DataLoader(eyes, batch_size=None, num_workers=2, multiprocessing_context="fork")):
        assert same(sample, expected[index])
        assert same(eyes[index], expected[index])


def test_a_file_without_present_shows_it_by_maps_that_are_not_empty(tmp_path: Path):
    maps = np.zeros((4, 8, 16, 16), np.float16)
    maps[:, 2, 5, 5] = 1
    path = write_file(tmp_path / "eyes.h5", heatmaps=maps, without="present")
    assert eyes_of(path, preload=True)[0]["present"].nonzero().tolist() == [[2]]


def test_maps_under_the_old_key_masks_are_found(tmp_path: Path):
    maps = np.full((4, 8, 16, 16), 0.5, np.float16)
    path = write_file(tmp_path / "eyes.h5", without="heatmaps", masks=maps)
    assert eyes_of(path, preload=True)[0]["heatmap"].unique().tolist() == [0.5]


def test_a_folder_means_the_one_file_in_it(file: Path):
    assert eyes_of(file.parent, preload=True).file.path == file


def refused(path: Path | str | None, message: str, **sections: Any) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        build_data(config_for(path, **sections))
    assert "\n" not in str(caught.value)


def test_no_path_is_answered_with_where_to_get_one():
    refused(None, "add `--data-path FILE`, or make a small data set with `holdfast make-data glint DIR`")


def test_a_missing_file_is_named(tmp_path: Path):
    refused(tmp_path / "no.h5", f"`data.path` must exist, but there is no {tmp_path / 'no.h5'}")


def test_a_folder_without_a_file_is_refused(tmp_path: Path):
    refused(tmp_path, f"must be a folder with one .h5 file, but {tmp_path} has none")


def test_a_folder_with_several_files_is_refused_with_their_names(tmp_path: Path):
    write_file(tmp_path / "a.h5")
    write_file(tmp_path / "b.hdf5")
    refused(tmp_path, "has a.h5, b.hdf5; name the file itself")


@pytest.mark.parametrize(
    "content, looks",
    [
        (b"", "an empty file"),
        (b"PK\x03\x04 and more", "a zip archive or a .pth checkpoint"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer whose data was not fetched"),
        (b"one, two\n", "text"),
        (b"\x00\x01\x02\xff", "something else"),
    ],
)
def test_another_kind_of_file_is_refused_with_what_it_looks_like(tmp_path: Path, content: bytes, looks: str):
    path = tmp_path / "eyes.h5"
    path.write_bytes(content)
    refused(path, f"must be an HDF5 file, but {path} looks like {looks}; name another file")


def test_a_file_that_was_cut_short_is_refused(file: Path):
    file.write_bytes(file.read_bytes()[:-2000])
    refused(file, f"must be a whole HDF5 file, but {file} cannot be read")


def test_a_file_that_cannot_be_read_is_refused():
    refused("/proc/self/mem", "`data.path` must be a file that can be read, but got /proc/self/mem (")


def test_missing_keys_are_named_with_those_that_are_there(tmp_path: Path):
    path = write_file(tmp_path / "eyes.h5", without="heatmaps", maps=np.zeros(1))
    refused(path, f"{path} must hold `heatmaps`, but it holds images, maps, present; set `data.images`")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": np.zeros((4, 64, 64), np.float32)}, "must be uint8 [N, H, W], but got float32 [4, 64, 64]"),
        ({"images": np.zeros((4, 64, 64, 3), np.uint8)}, "must be uint8 [N, H, W], but got uint8 [4, 64, 64, 3]"),
        ({"images": np.zeros((0, 64, 64), np.uint8)}, "must hold images, but it is empty"),
        ({"images": np.zeros((3, 64, 64), np.uint8)}, "but `images` has 3 and `heatmaps` 4"),
        ({"images": np.zeros((4, 60, 64), np.uint8)}, "multiples of 16, 32 or more, but got 60 x 64"),
        ({"images": np.zeros((4, 16, 16), np.uint8)}, "multiples of 16, 32 or more, but got 16 x 16"),
        ({"heatmaps": np.zeros((4, 8, 16, 16), np.uint8)}, "must be float [N, glints, h, w], but got uint8"),
        ({"heatmaps": np.zeros((4, 16, 16), np.float16)}, "but got float16 [4, 16, 16]"),
        ({"heatmaps": np.zeros((4, 6, 16, 16), np.float16)}, "but got 6; set `model.num_glints` to 6"),
        ({"heatmaps": np.zeros((4, 8, 10, 20), np.float16)}, "but got 10 x 20; make the file anew"),
        ({"heatmaps": np.zeros((4, 8, 10, 10), np.float16)}, "must be 16 x 16 for images of 64 x 64"),
        ({"heatmaps": np.full((4, 8, 16, 16), 255, np.float16)}, "must be from 0 to 1, but row 0 goes from 255"),
        ({"heatmaps": np.full((4, 8, 16, 16), np.nan, np.float16)}, "must be from 0 to 1, but row 0 goes from nan"),
        (
            {"present": np.zeros((4, 6), np.uint8)},
            "`present` in {path} must be whole numbers [4, 8], but got uint8 [4, 6]",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_key(tmp_path: Path, arrays: dict[str, Any], message: str):
    path = write_file(tmp_path / "eyes.h5", **arrays)
    refused(path, message.format(path=path))


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_split_that_leaves_an_empty_part_is_refused(tmp_path: Path, share: float):
    path = write_file(tmp_path / "eyes.h5")
    refused(path, f"must leave images on both sides, but got {share} of the 4", data={"val_split": share})


def test_maps_that_are_coarser_than_the_network_are_refused_with_the_stride_that_fits(tmp_path: Path):
    path = write_file(tmp_path / "eyes.h5")
    refused(path, "but got 16 x 16; set `model.output_stride` to 4", model={"output_stride": 2})


def test_maps_that_are_finer_than_the_network_are_averaged_and_keep_their_height(tmp_path: Path):
    maps = np.zeros((4, 8, 32, 32), np.float16)
    maps[:, 2] = gaussian(21, 33, side=32, stride=2).numpy()
    path = write_file(tmp_path / "eyes.h5", heatmaps=maps)
    heatmap = eyes_of(path, preload=True)[0]["heatmap"]
    assert heatmap.shape == (8, 16, 16)
    assert heatmap[2].max() == pytest.approx(maps[0, 2].max(), abs=1e-3)
    assert [glint for glint in range(8) if heatmap[glint].any()] == [2]
    assert torch.equal(coarser(heatmap, 1), heatmap)


@pytest.mark.parametrize(
    "attributes, message",
    [
        ({"img_h": 128}, "the attribute `img_h` of {path} must say 64 as its arrays do, but says 128"),
        ({"hm_w": 64}, "the attribute `hm_w` of {path} must say 16 as its arrays do, but says 64"),
        ({"num_classes": 6}, "the attribute `num_classes` of {path} must say 8 as its arrays do, but says 6"),
        ({"img_w": "wide"}, "the attribute `img_w` of {path} must say 64 as its arrays do, but says wide"),
    ],
)
def test_attributes_that_contradict_the_arrays_are_refused(tmp_path: Path, attributes: dict[str, Any], message: str):
    path = write_file(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        file.attrs.update(attributes)
    refused(path, message.format(path=path))


@pytest.mark.parametrize("value", [1.01, -0.01, np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, ">f4"])
def test_a_value_outside_of_0_to_1_is_found_in_any_row(tmp_path: Path, kind: Any, value: float):
    maps = np.zeros((4, 8, 16, 16), kind)
    maps[0, 0, 0] = -0.0
    maps[2, 5, 3, 3] = value
    refused(write_file(tmp_path / "eyes.h5", heatmaps=maps), "must be from 0 to 1, but row 2 goes from")


def test_a_value_outside_of_0_to_1_is_found_when_its_row_is_read(tmp_path: Path):
    # More rows than are looked at when the file is opened.
    maps = np.zeros((40, 8, 16, 16), np.float16)
    maps[3, 0, 0, 0] = 2
    arrays = {"images": np.zeros((40, 64, 64), np.uint8), "heatmaps": maps, "present": np.ones((40, 8), np.uint8)}
    eyes = eyes_of(write_file(tmp_path / "eyes.h5", **arrays), preload=False)
    with pytest.raises(DataError, match="but row 3 goes from 0 to 2"):
        eyes[eyes.rows.index(3)]


def test_presence_that_is_neither_0_nor_1_is_refused(tmp_path: Path):
    present = np.zeros((4, 8), np.uint8)
    present[1, 2] = 255
    path = write_file(tmp_path / "eyes.h5", present=present)
    refused(path, f"`present` in {path} must be 0 or 1, but row 1 has 0, 0, 255, 0")


def test_keys_in_groups_are_named_and_found(tmp_path: Path):
    path = write_file(tmp_path / "eyes.h5", without="images", **{"left/pictures": np.zeros((4, 64, 64), np.uint8)})
    refused(path, "but it holds heatmaps, left/pictures, present; set `data.images`")
    assert len(build_data(config_for(path, data={"images": "left/pictures"})).train) == 3  # pyright: ignore[reportArgumentType]


def test_shared_memory_is_accepted_with_a_note(file: Path, capsys: pytest.CaptureFixture[str]):
    build_data(config_for(file, data={"shared_memory": True}))
    assert capsys.readouterr().err.startswith("note: --shared_memory and --cleanup_shm have no effect: ")


def test_a_split_goes_with_both_parts_and_nothing_is_in_both(file: Path):
    data = build_data(config_for(file))
    assert data.split is not None
    parts = [data.train, data.val]
    rows = [part.rows for part in parts if isinstance(part, Eyes)]
    assert rows == [data.split.train, data.split.held_out]
    assert sorted(rows[0] + rows[1]) == [0, 1, 2, 3]


def test_a_stored_split_replaces_the_drawn_one_in_both_parts(file: Path):
    data = build_data(config_for(file))
    assert data.split is not None and isinstance(data.train, Eyes) and isinstance(data.val, Eyes)
    other = sorted({0, 1, 2, 3} - set(data.split.held_out))[:1]
    data.split.load_state_dict({**data.split.state_dict(), "held_out": torch.tensor(other)})
    assert data.val.rows == other
    assert data.val[0]["index"] == other[0]
    assert not set(other) & {data.train[index]["index"] for index in range(3)}


def test_the_fingerprint_is_that_of_the_contents_however_they_are_stored(file: Path, tmp_path: Path):
    with h5py.File(file) as source, h5py.File(tmp_path / "again.h5", "w") as again:
        for key in ("images", "heatmaps", "present"):
            again.create_dataset(key, data=source[key], compression="gzip", chunks=True)  # pyright: ignore[reportArgumentType]
    prints = {
        eyes_of(path, preload=preload).file.fingerprint
        for path in (file, tmp_path / "again.h5")
        for preload in (True, False)
    }
    assert len(prints) == 1
    with h5py.File(file, "r+") as changed:
        changed["images"][3, 5, 5] ^= 1  # pyright: ignore[reportIndexIssue,reportOperatorIssue]
    assert eyes_of(file, preload=True).file.fingerprint not in prints
