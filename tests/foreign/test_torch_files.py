"""Files of PyTorch, of both formats, are found again bit for bit, without a copy where they can be mapped."""

import collections
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import DamagedCheckpoint
from tests.foreign.archives import packed, records_of, saved
from tests.foreign.kinds_of_numbers import DTYPES, numbers
from tests.foreign.same import bits, same

FORMATS = [(old, protocol) for old in (False, True) for protocol in range(1, 6)]


def read(folder, data):
    path = folder / "file.pth"
    path.write_bytes(data)
    return open_file(path)


def state(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).state_dict()
    moments = {number: {"step": torch.tensor(1.0), "exp_avg": torch.randn(2, 3)} for number in range(2)}
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}
    return {"epoch": 3, "model": model, "optimizer": optimizer, "rng": torch.get_rng_state()}


@pytest.mark.parametrize("old, protocol", FORMATS)
def test_the_state_of_a_training_is_found_value_for_value(tmp_path, old, protocol):
    opened = read(tmp_path, saved(state(), old=old, protocol=protocol))
    expected = state()
    expected["model"] = dict(expected["model"])
    assert same(opened.content, expected)
    assert opened.container == ("a file of PyTorch before 1.6" if old else "a zip archive of PyTorch")
    assert opened.opaque == ()


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_type_are_found_bit_for_bit(tmp_path, dtype, old):
    row = numbers(dtype, 24)
    value = {"row": row, "matrix": row.view(4, 6).t(), "part": row[5:9], "number": row[3], "none": row[:0]}
    found = read(tmp_path, saved(value, old=old)).content
    assert same(found, value)
    assert found["matrix"].stride() == (1, 6) and found["part"].storage_offset() == 5


@pytest.mark.parametrize("old", [False, True])
def test_tensors_that_share_their_bytes_still_do(tmp_path, old):
    whole = torch.arange(6.0)
    value = {"whole": whole, "rows": whole.view(2, 3), "same": whole, "spread": whole[:1].expand(4)}
    found = read(tmp_path, saved(value, old=old)).content
    found["whole"][4] = -1
    assert found["rows"][1, 1] == -1 and found["same"] is found["whole"]
    assert found["spread"].stride() == (0,) and torch.equal(found["spread"], torch.zeros(4))


@pytest.mark.parametrize("old", [False, True])
def test_parameters_sparse_and_conjugated_tensors_and_storages_become_plain(tmp_path, old):
    value = {
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "named": torch.nn.Parameter(torch.ones(3), requires_grad=False),
        "buffer": torch.nn.Buffer(torch.ones(1)),
        "sparse": torch.eye(3).to_sparse(),
        "conjugated": torch.tensor([1 + 2j, 3j]).conj(),
        "negative": torch.tensor([1 + 2j]).conj().imag,
        "storage": torch.ones(2).untyped_storage(),
        "size": torch.Size([2]),
        "type": torch.float16,
        "ordered": collections.OrderedDict(a=1),
        "array": np.arange(2),
    }
    value["named"].note = "an attribute"
    opened = read(tmp_path, saved(value, old=old))
    sparse = opened.content.pop("sparse")
    expected = value | {
        "parameter": torch.ones(2),
        "named": torch.ones(3),
        "buffer": torch.ones(1),
        "conjugated": torch.tensor([1 - 2j, complex(0, -3)]),
        "negative": torch.tensor([-2.0]),
        "storage": torch.ones(2).view(torch.uint8),
        "size": (2,),
        "type": "torch.float16",
        "ordered": {"a": 1},
        "array": torch.arange(2),
    }
    del expected["sparse"]
    assert same(opened.content, expected) and opened.opaque == ()
    assert sparse.layout == torch.sparse_coo and torch.equal(sparse.to_dense(), torch.eye(3))


@pytest.mark.parametrize("old", [False, True])
def test_a_whole_network_is_opaque_and_its_weights_can_be_seen(tmp_path, old):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    opened = read(tmp_path, saved(network, old=old))
    linear = opened.content.content["state"]["_modules"]["0"]
    assert isinstance(linear, Opaque) and same(
        linear.content["state"]["_parameters"]["weight"], network[0].weight.detach()
    )
    assert opened.opaque == ("torch.nn.modules.container.Sequential", "torch.nn.modules.linear.Linear")


def test_quantized_nested_and_empty_tensors_stay_opaque(tmp_path):
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # PyTorch means to give them up
        value = [torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), torch.ones(2, device="meta")]
    opened = read(tmp_path, saved(value))
    assert [one.name for one in opened.content] == [
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_meta_tensor_no_storage",
    ]
    assert torch.equal(opened.content[0].content["arguments"][0], torch.tensor([10, 10, 10], dtype=torch.int8))


class Marked(torch.Tensor):
    pass


def test_a_tensor_of_an_unknown_class_is_named_with_the_plain_tensor_in_it(tmp_path):
    opened = read(tmp_path, saved({"image": torch.ones(2).as_subclass(Marked)}))
    assert opened.opaque == (f"{__name__}.Marked",)
    assert torch.equal(opened.content["image"].content["arguments"][0], torch.ones(2))


def test_a_checkpoint_of_holdfast_is_read_as_well(tmp_path):
    value = {"step": 3, "raw": b"\xff", "model_state_dict": {"w": torch.arange(3.0), "u": numbers(torch.uint16, 3)}}
    path = tmp_path / "ours.pth"
    with path.open("wb") as file:
        archive.write(file.fileno(), value)
    opened = open_file(path)
    assert same(opened.content, value) and opened.container == "a checkpoint of Holdfast"


def test_a_changed_tensor_does_not_change_the_file(tmp_path):
    written = saved({"w": torch.zeros(1000)})
    read(tmp_path, written).content["w"].fill_(7)
    assert (tmp_path / "file.pth").read_bytes() == written


def memory_of_our_own() -> int:
    """Gives the bytes that belong to this process alone, without those of mapped files."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells how much memory is whose on Linux only")
def test_tensors_are_views_of_the_file_and_no_copies(tmp_path):
    size = 48 << 20
    path = tmp_path / "file.pth"
    torch.save({"w": torch.ones(size // 4), "v": torch.ones(10)}, path)
    before = memory_of_our_own()
    opened = open_file(path)
    grown = memory_of_our_own() - before
    assert opened.content["w"].sum() == size // 4
    assert grown < size // 8
    kept = torch.load(path, weights_only=True)
    assert memory_of_our_own() - before > size // 2, "a copy would have been seen"
    del kept


def test_numbers_with_their_highest_byte_first_are_turned(tmp_path):
    value = {
        "f": torch.arange(5.0),
        "h": torch.arange(4).bfloat16(),
        "c": torch.tensor([1 + 2j]),
        "u": numbers(torch.uint16, 4),
    }
    value |= {"b": torch.tensor([True, False]), "part": value["f"][2:]}
    records = records_of(saved(value))
    folder = next(iter(records)).split("/")[0]
    widths = {"0": 4, "1": 2, "2": 4, "3": 2, "4": 1}
    for key, width in widths.items():
        name = f"{folder}/data/{key}"
        records[name] = np.frombuffer(records[name], f"V{width}").view(f">u{width}").byteswap().tobytes()
    records[f"{folder}/byteorder"] = b"big"
    found = read(tmp_path, packed(records)).content
    assert same(found, value)
    found["f"][2] = -1
    assert found["part"][0] == -1
    assert not same(read(tmp_path, packed(records | {f"{folder}/byteorder": b"little"})).content, value)


def test_an_old_file_of_another_order_of_bytes_is_turned(tmp_path):
    written = saved(torch.tensor([1.0]), old=True)
    turned = written.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    assert turned != written
    count, number = turned[-12:-4], turned[-4:]
    assert same(read(tmp_path, turned[:-12] + count[::-1] + number[::-1]).content, torch.tensor([1.0]))


def test_the_folder_in_an_archive_may_have_any_name(tmp_path):
    records = records_of(saved({"a": torch.ones(2)}))
    renamed = {name.replace("archive/", "Ünï cöde 7/"): content for name, content in records.items()}
    assert same(read(tmp_path, packed(renamed)).content, {"a": torch.ones(2)})


def test_a_changed_byte_is_named_where_pytorch_notices_nothing(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"w": torch.ones(100)}, path)
    damaged = bytearray(path.read_bytes())
    place = damaged.index(bits(torch.ones(100))) + 7
    damaged[place] ^= 1
    path.write_bytes(damaged)
    assert not torch.equal(torch.load(path, weights_only=True)["w"], torch.ones(100))
    with pytest.raises(
        DamagedCheckpoint, match=r"its record `file/data/0` has the checksum [0-9a-f]{8}, not [0-9a-f]{8}"
    ):
        open_file(path)


def test_a_file_that_was_written_without_checksums_says_so(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        opened = read(tmp_path, saved({"w": torch.ones(3)}))
    finally:
        torch.serialization.set_crc32_options(True)
    assert opened.container == "a zip archive of PyTorch without checksums"
    assert same(opened.content, {"w": torch.ones(3)})
