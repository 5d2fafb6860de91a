"""Reading the skeleton never runs code and never fails in an unforeseen way."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.checkpoint.encoding import encode
from holdfast.checkpoint.skeleton import SkeletonError, decode, notes_in


class Harmful:
    def __reduce__(self):
        return (print, ("this code must not run",))


def test_code_in_a_skeleton_does_not_run(capsys):
    with pytest.raises(SkeletonError, match="not allowed"):
        decode(pickle.dumps({"x": Harmful()}, protocol=2))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02}.}.",
        b"\x80\x02}",
        b"\x80\x02}(J\x01\x00\x00\x00u.",
        b"\x80\x02}(X\xff\xff\xff\x7f",
        b"\x80\x02" + b"(" * 100_000,
        b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"\x80\x02ccollections\nOrderedDict\n(J\x01\x00\x00\x00tR.",
        b"\x80\x02}NQ.",
        b"\x80\x02e.",
        b"\x80\x02u.",
        b"\x80\x02R.",
    ],
)
def test_bytes_that_no_encoder_writes_are_refused(data):
    with pytest.raises(SkeletonError):
        decode(data)


def test_a_name_in_the_place_of_a_value_is_refused():
    with pytest.raises(SkeletonError, match="a name stands where a value should"):
        list(notes_in(decode(b"\x80\x02}(X\x01\x00\x00\x00acos\nsystem\nu.")))


VALID = bytes(encode({"a": [1, 2.5, None, True, b"x", "y", 1 << 90], 3: {"b": ()}}, {}))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(VALID) - 1), st.binary(max_size=4))
def test_any_change_is_decoded_or_refused_but_nothing_else(place, inserted):
    changed = VALID[:place] + inserted + VALID[place + 1 :]
    try:
        list(notes_in(decode(changed)))
    except SkeletonError:
        return
    assert changed[-1:] == b"."
