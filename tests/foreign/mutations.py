"""Harmless files with random damage, such as no reader expects."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from holdfast.checkpoint.foreign.known_numpy import NUMPY
from holdfast.checkpoint.foreign.known_python import PYTHON
from holdfast.checkpoint.foreign.known_torch import TORCH
from tests.foreign.archives import packed, records_of, with_pickle
from tests.foreign.corpus import attacks, seeds, text

_NAMES = [*PYTHON.called, *NUMPY.called, *TORCH.called] * 3 + [*TORCH.mentioned]
_NAMES += [("copyreg", "_reconstructor"), ("torch._tensor", "_rebuild_from_type_v2"), ("omegaconf.nodes", "AnyNode")]
_SIMPLE = (
    b"N",
    b"\x88",
    b"K\x00",
    b"K\x01",
    b"K\x04",
    b"J\xff\xff\xff\xff",
    b"\x8a\x09" + b"\x7f" * 9,
    b")",
    b"]",
    b"}",
)
_SIMPLE += (b"G\x7f\xf8\0\0\0\0\0\0", b"C\x04\x07\xe9\x01\x01", b"C\x08" + bytes(8), text("f8"), text("<"), text("C"))
_SIMPLE += (
    text("latin1"),
    text("torch.sparse_coo"),
    text("x" * 300),
    b"C\x0a\x07\xe9\x01\x01" + bytes(6),
    b"K\x04\x85",
)
_WORDS = (
    b"\x80\x04",
    b"\x93",
    b"R",
    b"b",
    b"Q",
    b"(",
    b"t",
    b"cos\nsystem\n",
    b"\xff\xff\xff\xff",
    b"\x7f" * 8,
    b"j\0\0\0\0",
)
"""What is put between: operations of pickles, names, and numbers at the edge."""


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Gives damaged files, the same for the same seed: two of three were harmless before.

    Half of the archives are damaged inside of their pickle and closed again, so that their checksums are real.
    """
    draw = random.Random(seed)
    harmless, harmful = [*seeds().values()], [attack.data for attack in attacks("true")]
    whole = harmless + harmful
    for _ in range(count):
        data = draw.choice(harmless if draw.random() < 0.7 else harmful)
        if data.startswith(b"PK") and draw.random() < 0.5:
            yield _inside(draw, records_of(data), whole)
        else:
            yield _damaged(draw, data, whole)


def spoken(count: int, seed: int) -> Iterator[bytes]:
    """Gives well-formed files in which known classes have anything at all for arguments and state."""
    draw = random.Random(seed)
    for _ in range(count):
        pickle = b"\x80\x04" + _value(draw, 4) + b"."
        yield with_pickle(pickle, {"archive/data/0": draw.randbytes(16)}) if draw.random() < 0.5 else pickle


def _value(draw: random.Random, levels: int) -> bytes:
    def values() -> bytes:
        return b"".join(_value(draw, levels - 1) for _ in range(draw.randrange(5)))

    match draw.randrange(9) if levels else 0:
        case 0 | 1:
            return draw.choice(_SIMPLE)
        case 2:
            return b"(" + values() + draw.choice((b"t", b"l", b"\x91"))
        case 3:
            return b"}" + _value(draw, levels - 1) * 2 + b"s"
        case 4:
            return _named(draw)
        case 5:
            return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    made = _named(draw) + b"(" + values() + b"tR"
    return made + draw.choice((b"", b"(" + values() + b"tb", _value(draw, levels - 1) + b"b", b"(" + values() + b"e"))


def _named(draw: random.Random) -> bytes:
    module, name = draw.choice(_NAMES)
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _inside(draw: random.Random, records: Mapping[str, bytes], whole: list[bytes]) -> bytes:
    name = draw.choice([name for name in records if name.endswith("/data.pkl")] * 9 + list(records))
    return packed({**records, name: _damaged(draw, records[name], whole)})


def _damaged(draw: random.Random, data: bytes, whole: list[bytes]) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        start = draw.randrange(len(data) + 1)
        stop = min(len(data), start + draw.choice((1, 1, 2, 4, 16, 100)))
        data = data[:start] + _instead(draw, data[start:stop], whole) + data[stop:]
    return data


def _instead(draw: random.Random, piece: bytes, whole: list[bytes]) -> bytes:
    match draw.randrange(7):
        case 0:
            return bytes(byte ^ 1 << draw.randrange(8) for byte in piece)
        case 1:
            return draw.randbytes(len(piece))
        case 2:
            return b""
        case 3:
            return piece * draw.choice((2, 3, 50))
        case 4:
            return draw.choice(_WORDS) + piece
        case 5:
            return draw.choice(_WORDS)
    other = draw.choice(whole)
    start = draw.randrange(len(other))
    return other[start : start + draw.randrange(1, 100)]
