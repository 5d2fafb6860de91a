"""Checksums of pieces make the checksum of the whole."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.checkpoint import checksum


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_two_checksums_combine_to_that_of_the_joined_bytes(first, second):
    assert checksum.combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_the_fast_checksum_is_the_one_of_zip():
    assert checksum.crc32(b"123456789") == zlib.crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pieces_in_any_number_of_threads_give_the_checksum_of_each_string(threads):
    strings = [b"", bytes(range(256)) * 90_000, b"short", bytes(checksum.PIECE), bytes(9 * checksum.PIECE)]

    def piece_crc32(index, start, stop, so_far):
        return zlib.crc32(strings[index][start:stop], so_far)

    found = checksum.crc32_of_each([len(one) for one in strings], piece_crc32, threads=threads)
    assert found == [zlib.crc32(one) for one in strings]


def test_an_error_in_any_thread_is_raised():
    def fail(index, start, stop, so_far):
        if start:
            raise OSError("disk on fire")
        return 0

    with pytest.raises(OSError, match="disk on fire"):
        checksum.crc32_of_each([10 * checksum.PIECE], fail, threads=2)
