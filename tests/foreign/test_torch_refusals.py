"""Tensors that do not lie in their bytes, and files of PyTorch that are programs or too old, are refused."""

import pytest
import torch

from holdfast.checkpoint.foreign.limits import Limits
from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import UnreadableFile, UnsafeFile
from tests.foreign.archives import packed, saved
from tests.foreign.same import bits, same


def read(folder, data, limits=Limits()):  # noqa: B008
    path = folder / "file.pth"
    path.write_bytes(data)
    return open_file(path, limits)


def tensor_of(*, count=4, offset=0, size=(4,), stride=(1,), key=b"0", kind=b"Float"):
    """A pickle of one tensor over the storage `0`."""
    parts = [b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n", kind, b"Storage\n"]
    parts += [
        b"X" + len(key).to_bytes(4, "little"),
        key,
        b"X\x03\x00\x00\x00cpu",
        _number(count),
        b"tQ",
        _number(offset),
    ]
    parts += [b"(", *map(_number, size), b"t(", *map(_number, stride), b"t\x89ccollections\nOrderedDict\n)RtR."]
    return b"".join(parts)


def _number(value):
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


@pytest.mark.parametrize(
    "change, what",
    [
        ({"size": (5,)}, "reaches beyond its bytes"),
        ({"offset": 1}, "reaches beyond its bytes"),
        ({"offset": -1}, "whose shape is no shape"),
        ({"stride": (2,)}, "reaches beyond its bytes"),
        ({"stride": (-1,)}, "whose shape is no shape"),
        ({"size": (-4,)}, "whose shape is no shape"),
        ({"size": (2, 2)}, "whose shape is no shape"),
        ({"size": (2**40,), "stride": (0,)}, "becomes many times larger than itself"),
        ({"size": (2**61, 0), "stride": (2**61, 2)}, "whose shape is no shape"),
        ({"size": (0, 2**70), "stride": (1, 1)}, "whose shape is no shape"),
        ({"count": 5}, "missing, or not as many as it says"),
        ({"count": 3, "size": (3,)}, "missing, or not as many as it says"),
        ({"key": b"1"}, "missing, or not as many as it says"),
        ({"key": b"../version"}, "missing, or not as many as it says"),
        ({"kind": b"Double"}, "missing, or not as many as it says"),
        ({"kind": b"Strange"}, "unknown kind `torch.StrangeStorage`"),
    ],
)
def test_a_tensor_that_does_not_lie_in_its_bytes_is_refused(tmp_path, change, what):
    records = {"a/data/0": bits(torch.arange(4.0)), "a/version": b"3\n"}
    assert same(read(tmp_path, packed({"a/data.pkl": tensor_of(), **records})).content, torch.arange(4.0))
    with pytest.raises(UnsafeFile, match=what):
        read(tmp_path, packed({"a/data.pkl": tensor_of(**change), **records}))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("indices, is_coalesced", [([[0, 3]], False), ([[0, -1]], False), ([[1, 1]], True)])
def test_a_sparse_tensor_whose_indices_do_not_fit_is_refused(tmp_path, indices, is_coalesced, old):
    tensor = torch.sparse_coo_tensor(
        torch.tensor(indices), torch.ones(2), (3,), check_invariants=False, is_coalesced=is_coalesced
    )
    with pytest.raises(UnsafeFile, match="it has a sparse tensor whose indices do not fit it"):
        read(tmp_path, saved(tensor, old=old))


def test_truth_values_that_are_neither_true_nor_false_are_refused(tmp_path):
    tensor = torch.tensor([0, 1, 2], dtype=torch.uint8).view(torch.bool)
    assert same(read(tmp_path, saved(tensor[:2])).content, tensor[:2])
    with pytest.raises(UnsafeFile, match="truth values that are neither true nor false"):
        read(tmp_path, saved(tensor))


def test_a_file_in_the_oldest_format_is_refused_with_what_it_is(tmp_path):
    head = b"storages".ljust(257, b"\0") + b"ustar  \0"
    with pytest.raises(UnreadableFile, match=r"it is a tar archive, as PyTorch wrote before 0\.2"):
        read(tmp_path, head.ljust(10240, b"\0"))


def test_a_torchscript_archive_is_refused_with_the_way_out(tmp_path):
    records = {"m/data.pkl": b"\x80\x02N.", "m/constants.pkl": b"\x80\x02).", "m/code/__torch__.py": b"pass"}
    with pytest.raises(UnreadableFile, match=r"it is a TorchScript archive, which is a program; save its weights with"):
        read(tmp_path, packed(records))


def test_the_bytes_of_a_pickle_and_its_depth_are_limited(tmp_path):
    deep = [1]
    for _ in range(30):
        deep = [deep]
    assert read(tmp_path, saved(deep), Limits(depth=31)).content == deep
    with pytest.raises(UnsafeFile, match="nested more than 30 levels deep"):
        read(tmp_path, saved(deep), Limits(depth=30))
    with pytest.raises(UnsafeFile, match=r"its record `data\.pkl` has more than 30 bytes"):
        read(tmp_path, saved(deep), Limits(pickle_bytes=30))
    with pytest.raises(UnsafeFile, match="it holds a pickle of more than 30 bytes"):
        read(tmp_path, saved(deep, old=True), Limits(pickle_bytes=30))


def test_a_limit_that_is_too_deep_for_python_ends_in_one_line_as_well(tmp_path):
    with pytest.raises(UnsafeFile, match="it is nested too deeply for this program"):
        read(tmp_path, b"]" * 5000 + b"a" * 4999 + b".", Limits(depth=10_000))
