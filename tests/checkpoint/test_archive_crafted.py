"""A file that is whole, but describes what nobody has saved, is damaged and nothing worse."""

import os
import pickletools
import zlib
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.checkpoint import archive
from holdfast.checkpoint.layout import arrange, directory, header
from holdfast.checkpoint.manifest import MANIFEST_LENGTH, digest_of, manifest
from holdfast.checkpoint.plan import CONSTANTS, record_names
from holdfast.errors import CheckpointError, DamagedCheckpoint

WEIGHT, BIAS = torch.arange(12.0).reshape(3, 4), torch.arange(3)
STATE = {
    "epoch": 2,
    "model_state_dict": {"weight": WEIGHT, "bias": BIAS, "none": torch.empty(0, 2)},
    "rest": [1.5, None, True, b"\xff", (), {3: 1 << 70}],
}


def save(path, state):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    archive.write(descriptor, state)
    os.close(descriptor)


def records_of(path, state):
    """Gives the contents of the skeleton and of the storages in a file."""
    skeleton, *rest = archive.plan(state).layout.records
    content = path.read_bytes()
    storages = [content[one.start : one.stop] for one in rest[len(CONSTANTS) : -1]]
    return content[skeleton.start : skeleton.stop], storages


def craft(path, skeleton, storages):
    """Writes a file in which every length and every checksum is right, whatever the skeleton says."""
    contents = [skeleton, *CONSTANTS.values(), *storages]
    lengths = [*map(len, contents), MANIFEST_LENGTH]
    layout = arrange(list(zip(record_names(len(lengths)), lengths, strict=True)))
    checksums = [zlib.crc32(content) for content in contents]
    contents.append(manifest(digest_of(layout.records[:-1], checksums)))
    checksums.append(zlib.crc32(contents[-1]))
    written = zip(layout.records, checksums, contents, strict=True)
    data = b"".join(header(record, checksum) + content for record, checksum, content in written)
    path.write_bytes(data + directory(layout, checksums))


def pieces_of(skeleton):
    """Gives the operations of a pickle, each with what belongs to it."""
    starts = [place for _, _, place in pickletools.genops(skeleton) if place is not None]
    return [skeleton[start:stop] for start, stop in zip(starts, [*starts[1:], len(skeleton)], strict=True)]


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value


def integer(value):
    length = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "state.pth"
    save(path, STATE)
    return records_of(path, STATE)


def test_a_crafted_file_with_the_original_skeleton_is_the_original_file(tmp_path, original):
    save(tmp_path / "saved.pth", STATE)
    craft(tmp_path / "crafted.pth", *original)
    assert (tmp_path / "crafted.pth").read_bytes() == (tmp_path / "saved.pth").read_bytes()


def shape_of(value):
    """Gives what tells two states apart, without touching elements of which there may be too many."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.stride(), value.storage_offset()
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    return type(value)(map(shape_of, value)) if isinstance(value, list | tuple) else repr(value)


def look_and_load(path):
    with archive.checked(path) as found:
        found.outline()
        found.load({}.get)


def is_read_or_refused(path):
    """Reads a file in every way, which either all work or all find it damaged, and says which."""
    found = set()
    for read in (archive.verify, archive.read, archive.read_counters, look_and_load):
        try:
            read(path)
            found.add(True)
        except DamagedCheckpoint:
            found.add(False)
    assert len(found) == 1
    if found == {True}:
        assert shape_of(archive.read(path)) == shape_of(torch.load(path, weights_only=True))
    return found == {True}


STRANGE = [
    *(
        b"(",
        b"]",
        b"}",
        b")",
        b"e",
        b"u",
        b"t",
        b"R",
        b"Q",
        b"0",
        b".",
        b"N",
        b"\x88",
        b"\x89",
        b"\x81",
        b"b",
        b"q\x00",
    ),
    *(
        text(b"-1"),
        text(b"9" * 5000),
        text("\u0663".encode()),
        text(b"\xed\xa0\x80"),
        text(b"\xff"),
        text(b"hex_codec"),
    ),
    *(
        b"J\xff\xff\xff\xff",
        b"J\x00\x00\x00\x40",
        b"\x8a\x00",
        b"\x8a\x01\x05",
        b"X\xff\xff\xff\xff",
        b"G" + b"\xff" * 8,
    ),
    *(integer(1 << 60), integer(1 << 62), integer(1 << 63), integer(1 << 200), b"\x8a\x02\x01\x00"),
    *(b"cos\nsystem\n", b"ctorch\nqint8\n", b"ctorch\nfloat\n", b"ctorch\nnothing\n", b"c_codecs\nencode\n", b"c\n\n"),
]


def edited(pieces, edits):
    pieces = list(pieces)
    for place, dropped, inserted in edits:
        start, known = place % (len(pieces) + 1), STRANGE + pieces
        pieces[start : start + dropped] = [known[index % len(known)] for index in inserted]
    return b"".join(pieces)


EDITS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 4), st.lists(st.integers(0, 500), max_size=3)), min_size=1, max_size=4
)


def edit_and_read(edits, folder, original):
    skeleton, storages = original
    changed = edited(pieces_of(skeleton), edits)
    craft(folder / "crafted.pth", changed, storages)
    is_read_or_refused(folder / "crafted.pth")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_any_edited_description_is_read_as_pytorch_reads_it_or_found_damaged(edits, tmp_path, original):
    edit_and_read(edits, tmp_path, original)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS)
def test_any_of_very_many_edited_descriptions_is_read_as_pytorch_reads_it_or_found_damaged(edits, tmp_path, original):
    edit_and_read(edits, tmp_path, original)


def replace_and_read(folder, original, count):
    """Reads files in which one piece is left out, or something else stands in its place; `count` of all there are."""
    skeleton, storages = original
    pieces = pieces_of(skeleton)
    every = [(place, instead) for place in range(len(pieces)) for instead in [b"", *STRANGE]]
    read = 0
    for place, instead in Random(0).sample(every, count or len(every)):
        craft(folder / "crafted.pth", b"".join([*pieces[:place], instead, *pieces[place + 1 :]]), storages)
        read += is_read_or_refused(folder / "crafted.pth")
    assert read < (count or len(every)) / 4


def test_a_piece_left_out_or_put_in_the_place_of_another_is_read_or_found_damaged(tmp_path, original):
    replace_and_read(tmp_path, original, 300)


@pytest.mark.long
def test_each_piece_left_out_or_put_in_the_place_of_each_other_is_read_or_found_damaged(tmp_path, original):
    replace_and_read(tmp_path, original, None)


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


SIZES, STRIDES = number(3) + number(4) + b"t", number(4) + number(1) + b"t"
FITS_NOTHING = {
    "a negative storage": (text(b"0"), text(b"-1")),
    "a storage that is not there": (text(b"0"), text(b"7")),
    "a storage by a number": (text(b"0"), number(0)),
    "a shorter storage": (number(48), number(44)),
    "a storage of length true": (number(48), b"\x88"),
    "a storage of a length in words": (number(48), text(b"48")),
    "an offset beyond the storage": (number(0) + b"(", number(1) + b"("),
    "an offset in words": (number(0) + b"(", text(b"x") + b"("),
    "a number of sizes": (b"(" + SIZES, number(3)),
    "sizes in words": (b"(" + SIZES, text(b"xy")),
    "sizes in a dictionary": (b"(" + SIZES, b"}(" + number(3) + b"N" + number(4) + b"Nu"),
    "sizes beyond the storage": (SIZES, number(3) + number(5) + b"t"),
    "a negative size": (SIZES, number(-3) + number(4) + b"t"),
    "fewer sizes than strides": (SIZES, number(12) + b"t"),
    "a size that torch cannot count": (number(0) + number(2) + b"t", number(0) + integer(1 << 63) + b"t"),
    "a stride that torch cannot count": (number(2) + number(1) + b"t", number(2) + integer(1 << 63) + b"t"),
    "more elements than torch can count": (
        SIZES + b"(" + STRIDES,
        integer(1 << 60) + number(8) + b"t(" + number(0) + number(0) + b"t",
    ),
    "a type with a zero behind": (b"float32\n", b"float32\x00\n"),
    "a quantized type": (b"float32\n", b"quint8\n"),
    "a type in words": (b"ctorch\nfloat32\n", text(b"float32")),
    "a type by a number": (b"ctorch\nfloat32\n", number(1)),
    "bytes of more than eight bits": (text("\xff".encode()), text("\u0100".encode())),
    "bytes that are a number": (text("\xff".encode()), number(1)),
    "a key that is nothing": (text(b"epoch"), b"N"),
    "a key twice": (text(b"rest"), text(b"epoch")),
    "very many levels": (b"\x80\x02}(", b"\x80\x02](" + b"](" * 2000),
}


@pytest.mark.parametrize("old, new", FITS_NOTHING.values(), ids=FITS_NOTHING.keys())
def test_a_description_that_fits_nothing_is_found_damaged(tmp_path, original, old, new):
    skeleton, storages = original
    assert old in skeleton
    craft(tmp_path / "crafted.pth", skeleton.replace(old, new, 1), storages)
    assert not is_read_or_refused(tmp_path / "crafted.pth")


def test_a_state_that_is_no_dictionary_is_found_damaged(tmp_path, original):
    craft(tmp_path / "crafted.pth", b"\x80\x02](e.", original[1])
    with pytest.raises(DamagedCheckpoint, match="its skeleton is not one that Holdfast writes"):
        archive.read(tmp_path / "crafted.pth")


def nested(levels):
    state = {}
    for _ in range(levels):
        state = {"a": state}
    return state


def test_the_deepest_state_that_can_be_saved_can_be_read(tmp_path):
    with pytest.raises(CheckpointError):
        archive.plan(nested(100))
    save(tmp_path / "state.pth", nested(99))
    assert archive.read(tmp_path / "state.pth") == nested(99)
