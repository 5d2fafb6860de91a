"""Whatever Python and PyTorch wrote is found again: any value, any view, any protocol."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.checkpoint.foreign.opening import open_file
from tests.foreign.archives import saved
from tests.foreign.kinds_of_numbers import DTYPES, numbers
from tests.foreign.same import same

PROTOCOLS = range(6)
FORMATS = [(old, protocol) for old in (False, True) for protocol in range(1, 6)]


def read_bytes(folder, data):
    path = folder / "file.pth"
    path.write_bytes(data)
    return open_file(path)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(), st.just(2**300)
)
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.binary(), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    st.one_of(SCALARS, st.sets(st.integers()), st.frozensets(st.text())),
    lambda inside: st.one_of(
        st.lists(inside, max_size=5), st.dictionaries(KEYS, inside, max_size=5), st.tuples(inside, inside)
    ),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None)
@given(value=VALUES, protocol=st.sampled_from(PROTOCOLS))
def test_whatever_pickle_wrote_is_found_again(tmp_path_factory, value, protocol):
    opened = read_bytes(tmp_path_factory.getbasetemp(), pickle.dumps(value, protocol))
    assert same(opened.content, value) and opened.opaque == ()


@st.composite
def views(draw):
    """Several views of a few storages, of any type."""
    rows = [numbers(draw(st.sampled_from(DTYPES)), draw(st.integers(0, 30)), seed) for seed in range(2)]
    found = []
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.sampled_from(rows))
        size = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
        stride = tuple(draw(st.integers(0, 4)) for _ in size)
        span = 0 if 0 in size else 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if span <= len(row):
            offset = draw(st.integers(0, len(row) - span))
            found.append(row.as_strided(size, stride, offset))
    return found


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@settings(max_examples=100, deadline=None)
@given(value=views(), chosen=st.sampled_from(FORMATS))
def test_whatever_views_pytorch_wrote_are_found_again(tmp_path_factory, value, chosen):
    old, protocol = chosen
    found = read_bytes(tmp_path_factory.getbasetemp(), saved(value, old=old, protocol=protocol)).content
    assert same(found, value)
    assert [one.stride() for one in found] == [one.stride() for one in value]
    for left, ours in zip(value, found, strict=True):
        for right, theirs in zip(value, found, strict=True):
            if left.nbytes and right.nbytes:
                together = left.untyped_storage().data_ptr() == right.untyped_storage().data_ptr()
                assert together == (ours.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr())
