"""Small files that would become huge, deep or endless if somebody only followed them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from tests.foreign.archives import with_pickle
from tests.foreign.corpus import carried, text

DEEP = "is nested more than"
UNFOLDS = "unfolds to more than"
COSTS = "needs more than|becomes many times larger|takes longer than"
CUT = "it ends in the middle of"
NO_PICKLE = "neither a well-formed pickle"
NAMED = ""
"""It is no value that its class ever has, so it is only named; nothing is refused."""


@lru_cache(maxsize=1)
def bombs(many: int) -> dict[str, tuple[bytes, str]]:
    """Gives bombs by name, each with the reason for which it is refused; `many` says how large they are."""
    kinds = (_deep(many), _unfolding(), _repeated(many), _numerous(many), _claimed(many), _of_tensors())
    return {name: bomb for kind in kinds for name, bomb in kind.items()}


def _get(place: int) -> bytes:
    return b"j" + struct.pack("<I", place)


def _put(place: int) -> bytes:
    return b"r" + struct.pack("<I", place)


def _all(reason: str, found: Mapping[str, bytes]) -> dict[str, tuple[bytes, str]]:
    return {name: (data, reason) for name, data in found.items()}


def deep_key(levels: int) -> bytes:
    """Gives a dictionary with a deep tuple as a key, whose hash Python follows down on its own stack."""
    return b"\x80\x02})" + b"\x85" * levels + b"Ns."


def _deep(many: int) -> dict[str, tuple[bytes, str]]:
    levels = many // 4
    each = [b"(" + _get(number) + b"l" + _put(number + 1) for number in range(levels)]
    deep_tuple = b")" + b"\x85" * levels
    return _all(
        DEEP,
        {
            "deep lists": b"]" * levels + b"a" * (levels - 1) + b".",
            "deep tuples": b"\x80\x02" + deep_tuple + b".",
            "deep dictionaries": b"\x80\x02" + b"}K\x00" * levels + b"N" + b"s" * levels + b".",
            "deep sets": b"\x80\x04" + b"\x8f(" * levels + b"\x90" * levels + b".",
            "deep states": b"\x80\x02ca\nb\nq\x00)R" + b"h\x00)R" * levels + b"b" * levels + b".",
            "deep calls": b"\x80\x02ca\nb\n" + b")R" * levels + b".",
            "deep arguments": b"\x80\x02ca\nb\nq\x000" + b"h\x00" * levels + b"N" + b"\x85R" * levels + b".",
            "deep marks": b"(" * levels + b"t" * levels + b".",
            "a chain that is deep only when it is followed": b"\x80\x02]" + _put(0) + b"0(" + b"".join(each) + b"t.",
            "a deep tuple as a key": deep_key(levels),
            "a deep tuple in a set": b"\x80\x04\x8f(" + deep_tuple + b"\x90.",
        },
    )


def _unfolding() -> dict[str, tuple[bytes, str]]:
    """A hundred lines that would be laughed about for 2**100 lines; shallow enough to be followed."""
    levels = range(70)
    tuples = b")" + _put(0) + b"".join(b"0" + _get(n) * 2 + b"\x86" + _put(n + 1) for n in levels)
    lists = b"]" + _put(0) + b"".join(b"0](" + _get(n) * 10 + b"e" + _put(n + 1) for n in levels)
    tables = b"}" + _put(0) + b"".join(b"0}(K\x00" + _get(n) + b"K\x01" + _get(n) + b"u" + _put(n + 1) for n in levels)
    made = b"ca\nb\n)R" + _put(0)
    objects = made + b"".join(b"0" + made[:-5] + _get(n) * 2 + b"\x86b" + _put(n + 1) for n in range(30))
    refused = {
        "laughs of lists": b"\x80\x02" + lists + b".",
        "laughs of tuples": b"\x80\x02" + tuples + b".",
        "laughs of dictionaries": b"\x80\x02" + tables + b".",
        "laughs of objects": b"\x80\x02" + objects + b".",
        "laughs in a set": b"\x80\x04\x8f(" + tuples + b"\x90.",
        "one long text in a million places": text("x" * 1_000_000) + _put(0) + b"0(" + b"h\x00" * 10_000 + b"t.",
    }
    return _all(UNFOLDS, refused) | _all(NAMED, {"laughs as a key": b"\x80\x02}" + tuples + b"Ns."})


def _repeated(many: int) -> dict[str, tuple[bytes, str]]:
    """One argument that is used again and again, each time for a whole new value."""
    long = text("x" * 1_000_000)
    numbers = b"(" + b"K\x01" * (many // 10) + b"t"
    pairs = b"(" + b"K\x01K\x02\x86" * (many // 20) + b"t"
    entries = b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(many // 20)) + b"u"

    def again(name: str, arguments: bytes, state: bytes = b"") -> bytes:
        once = b"h\x00h\x01R" + (b"h\x02b" if state else b"")
        kept = state + b"q\x020" if state else b""
        return (
            b"\x80\x02c"
            + name.encode()
            + b"\nq\x000"
            + arguments
            + b"q\x010"
            + kept
            + b"("
            + once * (many // 12)
            + b"t."
        )

    return _all(
        COSTS,
        {
            "a long path": again("pathlib\nPosixPath", long + b"\x85"),
            "long bytes": again("_codecs\nencode", long + text("latin1") + b"\x86"),
            "long bytes of numbers": again("builtins\nbytearray", numbers + b"\x85"),
            "a long set": again("builtins\nset", numbers + b"\x85"),
            "a long deque": again("collections\ndeque", numbers + b"\x85"),
            "a long dictionary": again("collections\nOrderedDict", pairs + b"\x85"),
            "a long counter": again("collections\nCounter", entries + b"\x85"),
            "a long namespace": again("argparse\nNamespace", b")", entries),
            "a long container": again("omegaconf.dictconfig\nDictConfig", b")", entries),
            "many arguments": again("a\nb", numbers),
            "many arguments on a detour": again("copyreg\n__newobj__", b"(ca\nb\n" + numbers[1:]),
            "a long range": again("builtins\nrange", b"J\xff\xff\x00\x00\x85"),
        },
    ) | _all(NAMED, {"an endless range": b"\x80\x02cbuiltins\nrange\n\x8a\x14" + b"\x7f" * 20 + b"\x85R."})


def _numerous(many: int) -> dict[str, tuple[bytes, str]]:
    """More values than the file has bytes for."""
    storage = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x00tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\nq\x000((" + storage + b"K\x00K\x00\x85K\x01\x85\x89Ntq\x010"
    a_tuple = [b"(" + b"".join(_ONES[n >> place & 1] for place in range(17)) + b"tN" for n in range(many // 100)]
    once = pickle.dumps(np.array([None], dtype=object), 2)
    deep_array = once.replace(b"K\x01\x85q", b"(" + b"K\x01" * 64 + b"tq", 1)
    assert deep_array != once
    if_large = COSTS if many >= 1_000_000 else NAMED
    return {
        "lists": (b"(" + b"]" * many + b"t.", if_large),
        "sets": (b"\x80\x04(" + b"\x8f" * many + b"t.", if_large),
        "objects": (b"\x80\x02(ca\nb\nq\x000" + b"h\x00)R" * many + b"t.", COSTS),
        "tensors": (with_pickle(b"\x80\x02" + tensor + b"(" + b"h\x00h\x01R" * many + b"t.", _EMPTY), COSTS),
        "operations": (b"N0" * 2 * many + b"N.", COSTS),
        "marks": (b"(" * (many // 2) + b".", CUT),
        "keys that are no keys": (
            b"\x80\x02ca\nb\n" + text("y" * 90) + b"\x85Rq\x000}(" + b"h\x00N" * many + b"u.",
            if_large,
        ),
        "lists in lists of an array": (deep_array, NAMED),
        "keys of one hash": (b"\x80\x02}(" + b"".join(a_tuple) + b"u.", if_large),
    }


_ONES = (b"J\xff\xff\xff\xff", b"J\xfe\xff\xff\xff")
"""-1 and -2, whose hashes are the same in Python."""
_EMPTY = {"archive/data/0": b""}


def _claimed(many: int) -> dict[str, tuple[bytes, str]]:
    """Lengths and numbers that are far beyond the file."""
    huge = struct.pack("<Q", 1 << 62)
    digits = b"9" * many
    giant = "has an integer of more than 1024 bytes"
    return {
        "a giant integer": (b"\x80\x02\x8b" + struct.pack("<I", many) + b"\x7f" * many + b".", giant),
        "a giant integer that is not there": (b"\x80\x02\x8b\xff\xff\xff\x7f.", giant),
        "a giant long integer in digits": (b"L" + digits + b"L\n.", giant),
        "a giant integer in digits": (b"I" + digits + b"\n.", giant),
        "a giant float in digits": (b"F" + digits + b"\n.", NO_PICKLE),
        "a giant frame": (b"\x80\x04\x95" + huge + b"N.", CUT),
        "giant bytes": (b"\x80\x04\x8e" + huge + b".", CUT),
        "giant short bytes": (b"\x80\x03B\xff\xff\xff\xff.", CUT),
        "a giant text": (b"\x80\x04\x8d" + huge + b".", CUT),
        "a giant bytearray": (b"\x80\x05\x96" + huge + b".", CUT),
        "a giant place in the memo": (b"\x80\x02Nr\xff\xff\xff\xff.", NAMED),
        "a line without an end": (b"V" + digits, CUT),
        "a giant safetensors header": (struct.pack("<Q", 26_000_000) + b"{".ljust(26_000_000), "a header of more than"),
        "a safetensors header of brackets": (struct.pack("<Q", many) + b'{"a":'.ljust(many, b"["), "is no JSON"),
    }


def _of_tensors() -> dict[str, tuple[bytes, str]]:
    long = b"\x8a\x06\x00\x00\x00\x00\x00\x10"
    system = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    reference = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + long + b"tQ"
    old = b"".join([*system, b"\x80\x02", reference, b".", pickle.dumps(["0"], 2)])
    spread = reference.replace(long, b"K\x01") + b"K\x00" + long + b"\x85K\x00\x85\x89NtR."
    nested = b"N."
    for _ in range(50):
        nested = b"\x80\x03ctorch.storage\n_load_from_bytes\n" + carried(nested) + b"\x85R."
    return {
        "an array of nothing": (_array("U", long + b"\x85", b""), NAMED),
        "an array of too much": (_array("f8", long + long + b"\x86", b""), NAMED),
        "an array of empty rows": (_array("U1", long + b"K\x00\x86", b""), NAMED),
        "an old file of huge storages": (old + struct.pack("<q", 1 << 60), CUT),
        "an old file of negative storages": (old + struct.pack("<q", -1), CUT),
        "tensors in tensors": (nested, "it has a tensor whose bytes"),
        "one number as a whole tensor": (
            with_pickle(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + spread, {"archive/data/0": b"1234"}),
            COSTS,
        ),
    }


def _array(code: str, shape: bytes, data: bytes) -> bytes:
    """Gives an array of any shape, in protocol 3."""
    made = b"\x80\x03cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    dtype = (
        b"cnumpy\ndtype\n"
        + text(code)
        + b"\x89\x88\x87R(K\x03"
        + text("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    return made + b"(K\x01" + shape + dtype + b"\x89" + carried(data) + b"tb."
