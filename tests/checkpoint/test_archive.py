"""What is written is what is read, by us and by plain PyTorch."""

import os
import struct
import subprocess
import zipfile
import zlib
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.checkpoint import archive, writing


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        return archive.write(descriptor, state)
    finally:
        os.close(descriptor)


def same(left, right):
    if isinstance(left, torch.Tensor):
        like = (left.dtype, left.shape, left.stride()) == (right.dtype, right.shape, right.stride())
        return like and left.tolist() == right.tolist()
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return type(right) is float and struct.pack("d", left) == struct.pack("d", right)
    return type(left) is type(right) and left == right


def trained():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.BatchNorm1d(30))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(8, 40)).square().sum().backward()
    optimizer.step()
    return {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 3}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 300), 1 << 300),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
)
KEYS = st.one_of(st.text(max_size=4), st.integers())
MEMORY = [torch.arange(24), torch.linspace(0, 1, 30), torch.arange(9) % 2 == 0]
VIEWS = st.builds(
    lambda memory, start, step: memory[start::step], st.sampled_from(MEMORY), st.integers(0, 40), st.integers(1, 5)
)
VALUES = st.recursive(
    st.one_of(SCALARS, VIEWS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_plain_state_comes_back_and_torch_reads_the_same(state, tmp_path):
    path = tmp_path / "state.pth"
    save(path, state)
    assert same(archive.read(path), state)
    assert same(torch.load(path, weights_only=True), state)


@pytest.mark.parametrize("mmap", [False, True])
def test_plain_torch_load_reads_a_training_state(tmp_path, mmap):
    state = trained()
    save(tmp_path / "state.pth", state)
    assert same(torch.load(tmp_path / "state.pth", weights_only=True, mmap=mmap), _plain(state))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_unzip_and_zipfile_find_no_fault(tmp_path):
    save(tmp_path / "state.pth", trained())
    tested = subprocess.run(["unzip", "-t", tmp_path / "state.pth"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0
    assert "No errors detected" in tested.stdout
    assert zipfile.ZipFile(tmp_path / "state.pth").testzip() is None


def test_an_empty_state_is_a_checkpoint(tmp_path):
    save(tmp_path / "state.pth", {})
    archive.verify(tmp_path / "state.pth")
    assert archive.read(tmp_path / "state.pth") == torch.load(tmp_path / "state.pth", weights_only=True) == {}


NOT_STORED_AS_SUCH = {torch.qint8, torch.qint32, torch.quint8, torch.quint4x2, torch.quint2x4}
DTYPES = sorted(
    {value for value in vars(torch).values() if isinstance(value, torch.dtype)} - NOT_STORED_AS_SUCH, key=str
)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_every_type_of_number_keeps_its_bytes(tmp_path):
    state = {}
    for dtype in DTYPES:
        storage = torch.arange(8 * dtype.itemsize, dtype=torch.uint8).untyped_storage()
        state[str(dtype)] = torch.empty(0, dtype=dtype).set_(storage, 0, (2, 4), (4, 1))
    save(tmp_path / "state.pth", state)
    for found in (archive.read(tmp_path / "state.pth"), torch.load(tmp_path / "state.pth", weights_only=True)):
        for name, tensor in state.items():
            assert (str(found[name].dtype), found[name].shape) == (name, (2, 4))
            assert found[name].untyped_storage().tolist() == tensor.untyped_storage().tolist()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(2.5),
        torch.empty(0),
        torch.empty(3, 0, 2),
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        torch.arange(4.0).expand(3, 4),
        torch.arange(100)[10:90:7],
        torch.tensor([1 + 2j, 3 - 1j]).conj(),
        torch.tensor([1 + 2j, 3 - 1j]).conj().imag,
    ],
    ids=["0-dim", "empty", "empty 3-d", "transposed", "channels_last", "expanded", "stepped", "conjugated", "negated"],
)
def test_a_tensor_of_any_shape_keeps_values_and_strides(tmp_path, tensor):
    save(tmp_path / "state.pth", {"x": tensor})
    found = archive.read(tmp_path / "state.pth")["x"]
    assert found.stride() == tensor.resolve_conj().resolve_neg().stride()
    assert torch.equal(found, tensor)
    assert torch.equal(torch.load(tmp_path / "state.pth", weights_only=True, mmap=True)["x"], tensor)


def test_tensors_that_share_memory_share_it_again(tmp_path):
    weight = torch.arange(6.0)
    save(
        tmp_path / "state.pth",
        {"encoder": weight, "decoder": weight, "bits": weight.view(torch.int32), "part": weight[2:4]},
    )
    for found in (archive.read(tmp_path / "state.pth"), torch.load(tmp_path / "state.pth", weights_only=True)):
        found["encoder"][2] = 7
        assert found["decoder"].tolist() == [0, 1, 7, 3, 4, 5]
        assert found["part"].tolist() == [7, 3]
        assert found["bits"][2] == torch.tensor(7.0).view(torch.int32)


def test_arrays_lent_by_numpy_share_memory_again(tmp_path):
    lent = torch.arange(6).numpy()
    save(tmp_path / "state.pth", {"part": torch.from_numpy(lent[:2]), "whole": torch.from_numpy(lent)})
    found = archive.read(tmp_path / "state.pth")
    found["whole"][1] = 9
    assert found["part"].tolist() == [0, 9]


def test_a_small_view_does_not_carry_its_large_storage(tmp_path):
    report = save(tmp_path / "state.pth", {"x": torch.zeros(1_000_000)[500_000:500_010]})
    assert report.size < 4096


def test_parameters_become_plain_tensors_and_ordered_dictionaries_plain_ones(tmp_path):
    save(tmp_path / "state.pth", {"model": OrderedDict(weight=torch.nn.Parameter(torch.ones(2)))})
    found = archive.read(tmp_path / "state.pth")["model"]
    assert type(found) is dict
    assert type(found["weight"]) is torch.Tensor
    assert not found["weight"].requires_grad


def test_the_same_state_gives_the_same_bytes(tmp_path):
    first = save(tmp_path / "first.pth", trained())
    second = save(tmp_path / "second.pth", archive.read(tmp_path / "first.pth"))
    assert (tmp_path / "first.pth").read_bytes() == (tmp_path / "second.pth").read_bytes()
    assert first == second


def test_tensors_that_are_read_do_not_lie_in_the_file(tmp_path):
    save(tmp_path / "state.pth", {"x": torch.ones(100_000)})
    found = archive.read(tmp_path / "state.pth")["x"]
    os.truncate(tmp_path / "state.pth", 0)
    assert found.sum() == 100_000


def test_a_plan_says_where_all_will_lie_before_anything_is_written(tmp_path):
    state = {"large": torch.arange(300_000), "small": torch.arange(3), **trained()}
    planned = archive.plan(state)
    report = save(tmp_path / "state.pth", state)
    assert report.size == planned.layout.size == (tmp_path / "state.pth").stat().st_size
    assert report.records == len(planned.layout.records)
    found = zipfile.ZipFile(tmp_path / "state.pth").infolist()
    assert [(one.filename, one.file_size, one.header_offset) for one in found] == [
        (record.name, record.length, record.offset) for record in planned.layout.records
    ]
    assert {record.start % (4096 if record.length >= 4096 else 64) for record in planned.layout.records} == {0}


def test_space_is_reserved_before_anything_is_written(tmp_path, monkeypatch):
    def full(descriptor, offset, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "state.pth", {"x": torch.ones(1000)})
    assert (tmp_path / "state.pth").stat().st_size == 0


def test_a_disk_that_cannot_reserve_space_is_written_to_all_the_same(tmp_path, monkeypatch):
    def unsupported(descriptor, offset, length):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    save(tmp_path / "state.pth", {"x": torch.ones(1000)})
    assert archive.read(tmp_path / "state.pth")["x"].sum() == 1000


def test_without_a_fast_checksum_two_threads_write_the_same_bytes(tmp_path, monkeypatch):
    state = {"x": torch.arange(2_500_000), "y": torch.arange(300_000)}
    fast = save(tmp_path / "fast.pth", state)
    monkeypatch.setattr(writing, "ENGINE", "zlib")
    monkeypatch.setattr(writing, "crc32", zlib.crc32)
    monkeypatch.setattr(writing, "_sync_file_range", None)
    assert save(tmp_path / "slow.pth", state) == fast
    assert (tmp_path / "fast.pth").read_bytes() == (tmp_path / "slow.pth").read_bytes()


def test_counters_are_read_without_the_tensors(tmp_path):
    save(
        tmp_path / "state.pth", {"epoch": 2, "metric": None, "model_state_dict": {"x": torch.ones(2000)}, "stage": "a"}
    )
    with open(tmp_path / "state.pth", "r+b") as file:
        file.seek(8192)
        file.write(b"damage")
    assert archive.read_counters(tmp_path / "state.pth") == {"epoch": 2, "metric": None, "stage": "a"}
