"""Files of safetensors are read as their library writes them, and refused when they say anything else."""

import base64
import json

import pytest
import torch

from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import UnreadableFile, UnsafeFile
from tests.foreign.same import bits, same

# safetensors.torch.save(TENSORS, metadata={"format": "pt"}), as safetensors 0.8 writes it
WRITTEN = (
    "zySaN00000dm>+7ZDn*}WMOn+Utc0Rdm?6Ua&2LBB03^)bRvB$B5rkUVr6n7I(s5yba`-"
    "PB03^THZ&qEB6DbAaAhJoTU{(7WMOn+UvFk+b7gdMB05_zEI3_#EFyPdc4Z<udm?0Xd2nSSIwC_hG$Je_b7*03Wg<FTF<mSoWMOn"
    "+UvFk+b7gdMB05_*EHO4+eJmnwZ*FBGI(s5yba`-"
    "PB03^QGcqD9B6DbAaAhJoTQDp$T`VGGVRT_%Z)Rq5Wpr~QI$JR|EHO4+eJmn(B075_WOR9OWg<EvMl&)ZEFyDgVQ^(4I$JU<GhHk"
    "qWMOn+UvFk+b7gdMB05_!HY_wSU41MfXklz-"
    "B075_WOR9OWg<EvLPjw*A}k_vXkl<=B05_#T`VGGVRT_%Z)Rq5Wpr~QI$Ja_EHpG-eJmn#ZDDL|B075_WOR9OWg<EvMmS$ZG)*%i"
    "EFyDgVQ^(4I$JYcEFxrKbYWj_W@d9`baNs)TQoE*G&fy+EFxxXVP|t9I(s5yba`-"
    "PB03^MPftuDEFyDgVQ^(4I$JVbEFxrKbYWj_W@d9`baNs)TQoN;G&x;;eIOtp2LJ#700000004kL0000$00000004kL0000$002N"
    "h004kM005vsz&`-MFgQQ~00"
)
TENSORS = {
    "w": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0]).bfloat16(),
    "small": torch.tensor([0.5, 1.0, 2.0]).to(torch.float8_e4m3fn),
    "none": torch.empty(0, 3),
    "number": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "wave": torch.tensor([1 + 2j]),
}
KINDS = {
    "F64": torch.float64,
    "F16": torch.float16,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
}
PLAIN = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def read(folder, header, data=bytes(8)):
    path = folder / "model.safetensors"
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return open_file(path)


def test_what_the_library_wrote_is_found_bit_for_bit(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(base64.b85decode(WRITTEN))
    opened = open_file(path)
    assert opened.container == "a safetensors file" and opened.opaque == ()
    assert opened.content.pop("__metadata__") == {"format": "pt"}
    assert same({name: opened.content[name] for name in TENSORS}, TENSORS) and len(opened.content) == len(TENSORS)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_type_are_found(tmp_path, kind):
    row = torch.tensor([1, 2, 3], dtype=KINDS[kind])
    header = {"w": {"dtype": kind, "shape": [3], "data_offsets": [0, row.nbytes]}}
    assert same(read(tmp_path, header, bits(row)).content, {"w": row})


def test_tensors_that_start_anywhere_are_read(tmp_path):
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [2, 1], "data_offsets": [1, 9]},
    }
    found = read(tmp_path, header, b"\x05" + bits(torch.tensor([1.0, 2.0]))).content
    assert same(found, {"a": torch.tensor([5], dtype=torch.uint8), "b": torch.tensor([[1.0], [2.0]])})


@pytest.mark.parametrize(
    "header, data, error, what",
    [
        (PLAIN | {"v": PLAIN["w"]}, bytes(8), UnsafeFile, "tensor `v` overlaps another one, or leaves a gap"),
        (PLAIN | {"v": {"dtype": "U8", "shape": [1], "data_offsets": [9, 10]}}, bytes(10), UnsafeFile, "leaves a gap"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12), UnsafeFile, "leaves a gap"),
        (
            {"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
            bytes(8),
            UnsafeFile,
            "other bytes than its shape",
        ),
        (
            {"w": {"dtype": "F32", "shape": [], "data_offsets": [0, 8]}},
            bytes(8),
            UnsafeFile,
            "other bytes than its shape",
        ),
        ({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b"", UnsafeFile, "other bytes"),
        (
            {"w": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}},
            b"",
            UnsafeFile,
            "whose shape is no shape",
        ),
        (PLAIN, bytes(9), UnreadableFile, "its tensors have 8 bytes, but the file has 9 for them"),
        (PLAIN, bytes(7), UnreadableFile, "its tensors have 8 bytes, but the file has 7 for them"),
        ({"w": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}}, bytes(8), UnreadableFile, "the type F31"),
        ({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, bytes(8), UnreadableFile, "not described as"),
        ({"w": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, bytes(8), UnreadableFile, "not described as"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8), UnreadableFile, "not described as"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}, bytes(8), UnreadableFile, "not described as"),
        ({"w\x1b[2J": []}, b"", UnreadableFile, r"its tensor `w\?\[2J` is not described as it must be"),
        (PLAIN | {"__metadata__": {"a": 1}}, bytes(8), UnreadableFile, "its metadata is not a mapping of texts"),
        (b'{"a":1,"a":2}', b"", UnsafeFile, "names something twice"),
        (b'{"w":{"dtype":"F32","dtype":"F64"}}', b"", UnsafeFile, "names something twice"),
        (b'{"w":NaN}', b"", UnreadableFile, "is no JSON"),
        (b'{"w":' + b"9" * 5000 + b"}", b"", UnreadableFile, "is no JSON"),
        (b"{", b"", UnreadableFile, "is no JSON"),
        (b"{\xff}", b"", UnreadableFile, "is no JSON"),
        (json.dumps(PLAIN).encode("utf-16-le"), bytes(8), UnreadableFile, "is no JSON"),
    ],
)
def test_a_header_that_says_anything_else_is_refused(tmp_path, header, data, error, what):
    with pytest.raises(error, match=what):
        read(tmp_path, header, data)


def test_a_shape_of_a_million_dimensions_is_refused_at_once(tmp_path):
    shape = b",".join([b"9"] * 1_000_000)
    header = b'{"a":{"dtype":"F32","shape":[' + shape + b'],"data_offsets":[0,0]}}'
    (tmp_path / "bomb.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises((UnreadableFile, UnsafeFile), match="is not described as it must be"):
        open_file(tmp_path / "bomb.safetensors")
