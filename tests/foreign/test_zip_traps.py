"""Archives are read so strictly that no two readers could see different ones, and nothing in them unfolds."""

import io
import struct
import zipfile

import pytest

from holdfast.checkpoint.foreign.limits import Limits
from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import DamagedCheckpoint, UnreadableFile, UnsafeFile
from tests.foreign.archives import packed, saved, with_pickle
from tests.foreign.traps import GOOD, Entry, built, first, zip64_end
from tests.foreign.watching import watched


def read(folder, data, limits=Limits()):  # noqa: B008
    path = folder / "file.pth"
    path.write_bytes(data)
    return open_file(path, limits)


def places(entries):
    """The count, length and start of the directory of an archive."""
    *_, count, length, start, _ = struct.unpack("<IHHHHIIH", built(entries)[-22:])
    return count, length, start


def test_the_archive_without_a_trap_is_opened(tmp_path):
    assert read(tmp_path, built(GOOD)).content == 7


@pytest.mark.parametrize(
    "entries, what",
    [
        ((*GOOD, GOOD[1]), "several records of the same name"),
        ((*GOOD, Entry("archive/data.pkl", b"\x80\x02K\x08.")), "several records of the same name"),
        ((*GOOD, Entry("../evil", b"")), "under the name `../evil`, which leads elsewhere"),
        ((*GOOD, Entry("archive/../../evil", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("archive/..", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("/etc/passwd", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("C:/evil", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("archive\\..\\evil", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("archive/data.pkl\0", b"")), r"under the name `archive/data.pkl\?`, which leads elsewhere"),
        ((*GOOD, Entry("", b"")), "which leads elsewhere"),
        ((*GOOD, Entry("", b"", raw_name=b"\xff", local_name=b"\xff")), "whose name is not text"),
        (first(method=8, local_method=8), "is compressed; unpack it"),
        (first(packed_length=3), "is compressed"),
        (first(flags=0x801), "is encrypted"),
        (first(flags=0x820), "stored in an unusual way"),
        (first(length=4), "describes its record `archive/data.pkl` in two ways"),
        (first(local_length=4), "in two ways"),
        (first(local_name=b"archive/data.txt"), "in two ways"),
        (first(local_method=8), "in two ways"),
        (first(offset=1), "in two ways"),
        (first(offset=10**6), "outside of the file"),
        (first(length=10**6, local_length=10**6), "is longer than the file"),
        (first(length=2**40, local_length=0xFFFFFFFF, zip64=True), "is longer than the file"),
    ],
)
def test_a_record_that_is_not_what_it_seems_is_refused(tmp_path, entries, what):
    with pytest.raises(UnsafeFile, match=what):
        read(tmp_path, built(entries))


def test_records_that_overlap_are_refused(tmp_path):
    inner = built([Entry("archive/data/0", b"1234")], end=b"")
    hidden = inner[: inner.index(b"PK\x01\x02")]
    outer = Entry("archive/data/1", hidden)
    start = built([*GOOD, outer]).index(hidden)
    both = [*GOOD, outer, Entry("archive/data/0", b"1234", offset=start, written=False)]
    with pytest.raises(UnsafeFile, match="record `archive/data/0` lies over another one"):
        read(tmp_path, built(both))


def test_a_bomb_is_refused_before_it_unfolds(tmp_path):
    bomb = packed({"archive/data.pkl": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20 and zipfile.ZipFile(io.BytesIO(bomb)).infolist()[0].file_size == 64 << 20
    path = tmp_path / "file.pth"
    path.write_bytes(bomb)
    result = watched([path])
    assert "is compressed" in result.outcomes[0].message and result.grown < 20 << 20


@pytest.mark.parametrize(
    "data, error, what",
    [
        (built(GOOD, behind=b"x"), UnreadableFile, "cut off, or has something behind its end"),
        (built(GOOD)[:-1], UnreadableFile, "cut off, or has something behind its end"),
        (built(GOOD, before=b"PK\x03\x04 and more"), UnsafeFile, "something before its record `archive/data.pkl`"),
        (
            built([Entry(GOOD[0].name, GOOD[0].content + bytes(25), length=5, local_length=5), GOOD[1]]),
            UnsafeFile,
            "something before",
        ),
        (
            built([*GOOD[1:], Entry(GOOD[0].name, GOOD[0].content + bytes(25), length=5, local_length=5)]),
            UnsafeFile,
            "something before",
        ),
        (built(GOOD, before=b"#!/bin/sh\n"), UnreadableFile, "neither a well-formed pickle"),
        (built([]), UnreadableFile, "it is an empty or divided zip archive"),
    ],
)
def test_an_archive_with_anything_around_it_is_refused(tmp_path, data, error, what):
    with pytest.raises(error, match=what):
        read(tmp_path, data)


def test_numbers_in_the_large_form_are_read(tmp_path):
    entries = first(zip64=True)
    count, length, start = places(entries)
    for small in [(count, length, start), (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), (count, length, 0xFFFFFFFF)]:
        assert read(tmp_path, built(entries, end=zip64_end(count, length, start, small=small))).content == 7


def test_two_ends_that_differ_are_refused(tmp_path):
    count, length, start = places(GOOD)
    for small in [(count + 1, length, start), (count, length - 1, start), (count, length, start - 1)]:
        with pytest.raises(UnsafeFile, match="two ends that differ"):
            read(tmp_path, built(GOOD, end=zip64_end(count, length, start, small=small)))


@pytest.mark.parametrize(
    "change, what",
    [
        ((2, 0, 0), "does not lie where it says"),
        ((0, 4, 0), "does not lie where it says"),
        ((0, 0, 1), "does not lie where it says"),
        ((60000, 0, 0), "does not lie where it says"),
        ((-1, 0, 0), "whose directory is damaged"),
    ],
)
def test_an_end_that_says_something_else_is_refused(tmp_path, change, what):
    count, length, start = (number + step for number, step in zip(places(GOOD), change, strict=True))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, length, start, 0)
    with pytest.raises((UnsafeFile, UnreadableFile), match=what):
        read(tmp_path, built(GOOD, end=end))


def test_an_archive_in_several_parts_is_refused(tmp_path):
    count, length, start = places(GOOD)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 1, 1, count, count, length, start, 0)
    with pytest.raises(UnsafeFile, match="in several parts"):
        read(tmp_path, built(GOOD, end=end))


def test_more_records_than_the_limit_are_refused(tmp_path):
    entries = [*GOOD, *(Entry(f"archive/data/{number}", b"") for number in range(9))]
    assert read(tmp_path, built(entries), Limits(records=11)).content == 7
    with pytest.raises(UnsafeFile, match="more than 10 records"):
        read(tmp_path, built(entries), Limits(records=10))


def test_a_wrong_checksum_is_damage_and_not_one_is_no_checksums(tmp_path):
    with pytest.raises(DamagedCheckpoint, match=r"its record `archive/version` has the checksum \w+, not 00000000"):
        read(tmp_path, built([GOOD[0], Entry("archive/version", b"3\n", checksum=0)]))
    none = [Entry(entry.name, entry.content, checksum=0) for entry in GOOD]
    assert read(tmp_path, built(none)).container == "a zip archive of PyTorch without checksums"


def test_an_archive_in_an_archive_is_not_looked_into(tmp_path):
    with pytest.raises(UnreadableFile, match=r"did not write \(it holds inner.pth\)"):
        read(tmp_path, packed({"inner.pth": with_pickle(b"N.")}))
    with pytest.raises(UnsafeFile, match="only works inside the program that wrote it"):
        read(tmp_path, with_pickle(with_pickle(b"N.")))
    nested = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(saved(1))) + saved(1) + b"\x85R."
    with pytest.raises(UnsafeFile, match="only works inside the program that wrote it"):
        read(tmp_path, nested)


@pytest.mark.parametrize("names", [["a.npy", "b.npy"], ["a/data.pkl", "b/data.pkl"], ["a/b/data.pkl"], ["data.pkl"]])
def test_other_archives_are_refused_with_what_they_hold(tmp_path, names):
    with pytest.raises(
        UnreadableFile, match=rf"a zip archive that PyTorch's `save` did not write \(it holds {names[0]}"
    ):
        read(tmp_path, packed(dict.fromkeys(names, b"N.")))
