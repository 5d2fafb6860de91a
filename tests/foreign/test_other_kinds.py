"""What is no checkpoint is told by what it is, and what to do."""

import gzip
import os
import pickle

import h5py
import numpy as np
import pytest

from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import UnreadableFile, UnsafeFile


def refusal(path):
    with pytest.raises(UnreadableFile) as caught:
        open_file(path)
    start = f"`{path}` must be a checkpoint that can be read without running it, but "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "it is empty; fetch or copy it again."),
        (gzip.compress(b"N."), "it is compressed with gzip; unpack it first."),
        (b"BZh91AY&SY", "it is compressed with bzip2; unpack it first."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "it is only a pointer of Git LFS to the file"),
        (b"\n<!DOCTYPE html><html>", "it is a web page; fetch it again"),
        (b"epochs: 3\nlr: 0.1\n", "it is neither a well-formed pickle nor another kind of checkpoint"),
        (b'{"epochs": 3}', "it is neither a well-formed pickle nor another kind of checkpoint"),
        (pickle.dumps(1) + pickle.dumps(2), "something follows behind the end of its pickle; split it into files of"),
        (b"\x80\x06N.", "it is a pickle of protocol 6, which is not known; update Holdfast."),
        (bytes(1000), "it is neither a well-formed pickle nor another kind of checkpoint"),
    ],
)
def test_a_file_of_another_kind_is_told_by_what_it_is(tmp_path, content, message):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    assert refusal(path).startswith(message)


def test_files_of_hdf5_and_numpy_are_told_by_what_they_are(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a"] = 1
    np.save(tmp_path / "file.npy", np.zeros(2))
    assert refusal(tmp_path / "file.h5").startswith("it is an HDF5 file; read it with the program that wrote it")
    assert refusal(tmp_path / "file.npy").startswith("it is an array of NumPy; load it with `numpy.load(..., allow_")


def test_what_is_no_ordinary_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path) == "it is a folder; name a file in it."
    assert refusal(tmp_path / "pipe") == "it is not an ordinary file; name a file."
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "missing.pth")


def test_a_name_out_of_a_file_cannot_spoil_the_line(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05a\x1b[2J\x8c\x03b\nc\x93.")
    with pytest.raises(UnsafeFile, match=r"names a class in a way that no class is named \(`a\?\[2J.b\?c`\)"):
        open_file(path)
