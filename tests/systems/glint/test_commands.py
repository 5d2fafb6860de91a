"""Glint from the command line: make-data, convert, train, look; and every mistake in one line."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .eyes import opened

SMALL = ("--base_channels", "2", "--output_stride", "2")


@pytest.fixture
def refused(holdfast, entries):
    """Runs a command that must be refused in one line; gives it after checking that nothing came into being."""

    def command(*words):
        before = entries()
        code, out, err = holdfast(*words)
        assert code == 2, (out, err)
        assert entries() == before
        assert err.startswith("holdfast: ")
        assert err.count("\n") == 1
        return err.strip()

    return command


def test_made_raw_data_is_converted_trained_on_and_looked_at(holdfast, here: Path):
    code, out, _ = holdfast("make-data", "glint", "eyes", "--samples", "16", "--raw")
    assert code == 0
    assert "wrote 16 pictures with their Labelme files to eyes/raw" in out
    assert "next: holdfast convert glint eyes/raw eyes-converted" in out
    code, out, _ = holdfast("convert", "glint", "eyes/raw", "packed", "--size", "64")
    assert code == 0
    assert "wrote 16 eyes to packed/eyes_64.h5" in out
    assert "next: holdfast train glint --data-path packed" in out
    words = ("train", "glint", "--data-path", "packed", "--epochs", "2", "--name", "first", "--loss", "hybrid", *SMALL)
    assert holdfast(*words, "--log_interval", "1")[0] == 0
    events = EventAccumulator("runs/first/logs")
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert scalars >= {f"Step/{part}" for part in ("Loss", "Focal", "Divergence", "Aggregate")}
    assert scalars >= {f"{side}/{part}" for side in ("Train", "Val") for part in ("Loss", "Focal", "Divergence")}
    assert scalars >= {
        f"Val/{name}/g{glint}" for name in ("F1", "Precision", "Recall", "Error") for glint in range(1, 9)
    }
    assert events.Tags()["images"] == ["Image/Glints"]
    code, out, _ = holdfast("predict", "first", "eyes/images", "--output-dir", "found")
    assert code == 0
    document = json.loads(Path("found/predictions.json").read_text())
    assert [Path(one["picture"]).is_file() for one in document["predictions"]] == 8 * [True]
    for one in document["predictions"]:
        assert {key for glint in one["glints"] for key in glint} <= {"id", "x", "y", "confidence"}


def test_convert_lists_its_options(holdfast):
    code, out, _ = holdfast("convert", "glint")
    assert code == 0
    for option in ("--size", "--stride", "--sigma-min", "--bad", "--ignore"):
        assert f"  {option} " in out


def test_the_split_is_kept_with_the_run_and_taken_from_there(holdfast, eyes: str, monkeypatch):
    words = ("train", "glint", "--data-path", eyes, "--name", "first", "--no-tensorboard", *SMALL)
    assert holdfast(*words, "--epochs", "1")[0] == 0
    path = Path("runs/first/checkpoints/checkpoint_latest.pth")
    stored = torch.load(path, weights_only=True)["data_state"]["split"]
    assert (stored["count"], len(stored["held_out"])) == (24, 2)
    # Whatever would be drawn today, the run keeps what it began with.
    monkeypatch.setattr("holdfast.data.split.np.argsort", lambda words, kind: np.arange(len(words)))
    assert holdfast("resume", "first", "--epochs", "2")[0] == 0
    again = torch.load(path, weights_only=True)["data_state"]["split"]
    assert torch.equal(again["held_out"], stored["held_out"])
    assert sorted(stored["held_out"].tolist()) != [0, 1]


def test_other_data_of_the_same_size_is_refused_on_resume(holdfast, eyes: str):
    words = ("train", "glint", "--data-path", eyes, "--name", "first", "--no-tensorboard", *SMALL)
    assert holdfast(*words, "--epochs", "1")[0] == 0
    with opened(Path(eyes)) as file:
        assert file["images"].shape == (24, 64, 64)
    assert holdfast("make-data", "glint", "other", "--samples", "24", "--seed", "9")[0] == 0
    assert holdfast("convert", "glint", "other", "x")[0] == 2  # no Labelme files there
    code, _, err = holdfast("resume", "first", "--epochs", "2", "--data-path", "other")
    assert code == 2
    assert "must hold what the run began with, 24 samples with the fingerprint " in err


class TestBadInput:
    """Each mistake: one line with file and item, exit code 2, nothing half-written."""

    def test_a_misspelled_key_gets_the_keys_of_the_file(self, refused, eyes: str):
        message = refused("train", "glint", "--data-path", eyes, "--data.images", "imags")
        assert f"{eyes} must hold `imags`, but it holds heatmaps, images, present, stems" in message

    def test_a_misspelled_option_of_convert_gets_the_nearest_one(self, refused, made: Path):
        message = refused("convert", "glint", made / "raw", "packed", "--sise", "64")
        assert "unknown option `--sise` (did you mean `--size`" in message
        assert message.endswith("`holdfast convert glint` lists every option")

    def test_a_wrong_value_of_an_option_of_convert_is_explained(self, refused, made: Path):
        assert "take 96" in refused("convert", "glint", made / "raw", "packed", "--size", "100")
        assert "`stride`" in refused("convert", "glint", made / "raw", "packed", "--stride", "3")

    def test_a_bad_annotation_stops_a_conversion(self, refused, made: Path, here: Path):
        shutil.copytree(made / "raw", here / "raw")
        path = here / "raw" / "eye_000007.json"
        document = json.loads(path.read_text())
        document["shapes"][0]["label"] = "g9"
        path.write_text(json.dumps(document))
        message = refused("convert", "glint", "raw", "packed")
        assert "raw/eye_000007.json: shape 1: the label of a circle must be g1 to g8, but is 'g9'" in message
        document["shapes"] = []
        path.write_text(json.dumps(document))
        assert "raw/eye_000007.json: `shapes` must hold a circle" in refused("convert", "glint", "raw", "packed")

    def test_an_unreadable_picture_stops_a_conversion(self, refused, made: Path, here: Path):
        shutil.copytree(made / "raw", here / "raw")
        (here / "raw" / "eye_000020.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        message = refused("convert", "glint", "raw", "packed")
        assert "raw/eye_000020.json: raw/eye_000020.png must be a picture, but cannot be read" in message

    def test_what_is_skipped_is_said(self, holdfast, made: Path, here: Path):
        shutil.copytree(made / "raw", here / "raw")
        (here / "raw" / "eye_000020.png").write_bytes(b"")
        code, out, _ = holdfast("convert", "glint", "raw", "packed", "--bad", "skip")
        assert code == 0
        assert "wrote 23 eyes to packed/eyes_64.h5" in out
        assert "skipped 1 files, all in packed/eyes_64_skipped.csv:\n  eye_000020.json: raw/eye_000020.png" in out

    def test_a_value_out_of_range_is_named_with_its_row(self, refused, eyes: str):
        with opened(Path(eyes)) as file:
            arrays = {key: file[key][:] for key in file}
        arrays["heatmaps"][11, 3, 2, 2] = 1.5
        with h5py.File("bad.h5", "w") as bad:
            for key, array in arrays.items():
                bad[key] = array
        message = refused("train", "glint", "--data-path", "bad.h5", *SMALL)
        assert "`heatmaps` in bad.h5 must be from 0 to 1, but row 11 goes from 0 to 1.5" in message

    def test_a_missing_source_or_a_file_as_the_target_is_named(self, refused, made: Path, here: Path):
        (here / "taken").touch()
        assert "but got nowhere" in refused("convert", "glint", "nowhere", "packed")
        assert "taken is a file" in refused("convert", "glint", made / "raw", "taken")

    def test_raw_data_is_not_written_over(self, refused, here: Path):
        (here / "eyes" / "raw").mkdir(parents=True)
        assert "eyes/raw exists" in refused("make-data", "glint", "eyes", "--raw")
        assert list((here / "eyes").iterdir()) == [here / "eyes" / "raw"]

    def test_predicting_on_a_file_that_is_no_picture_writes_nothing(self, holdfast, refused, eyes: str, here: Path):
        words = ("train", "glint", "--data-path", eyes, "--name", "first", "--epochs", "1", "--no-tensorboard", *SMALL)
        assert holdfast(*words)[0] == 0
        Image.new("L", (64, 64)).save(here / "good.png")
        (here / "bad.png").write_text("no picture")
        code, _, err = holdfast("predict", "first", "good.png", "bad.png", "--output-dir", "found")
        assert code == 2
        assert err == "holdfast: bad.png must be a picture, but cannot be read (no known format); leave it out.\n"
        assert list((here / "found").iterdir()) == []
