"""Plain pickles become plain values, whoever wrote them and in whichever protocol."""

import argparse
import base64
import collections
import datetime
import enum
import functools
import operator
import pathlib
import pickle
import types

import numpy as np
import pytest
import torch

from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.foreign.opening import open_file
from tests.foreign.same import same

PROTOCOLS = range(6)


class Colour(enum.Enum):
    RED = 1


class Unknown:
    def __init__(self, value):
        self.value = value


class Listed(list):
    pass


class Keyed(dict):
    pass


class WithKeywords:
    def __new__(cls, *, width):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"width": 3}


def read_bytes(folder, data):
    path = folder / "file.pkl"
    path.write_bytes(data)
    return open_file(path)


def read(folder, value, protocol=pickle.DEFAULT_PROTOCOL):
    return read_bytes(folder, pickle.dumps(value, protocol))


OPTIONS = argparse.Namespace(
    name="flood-single",
    lr=5e-5,
    batch_size=128,
    use_physics=True,
    nothing=None,
    ckpt_path=pathlib.PurePosixPath("/results/flood"),
    windows_path=pathlib.PureWindowsPath("C:\\results\\flood"),
    sizes=[(1, 2), (3, -4)],
    seen={"a", "b"},
    fixed=frozenset({1, 2}),
    big=-(2**200),
    raw=b"\x00\xff",
    changing=bytearray(b"\x00\xff"),
    wave=1 - 2j,
    steps=range(2, 8, 3),
    part=slice(1, None, 2),
    ordered=collections.OrderedDict(b=1, a=2),
    lists=collections.defaultdict(list, {1: [2]}),
    counts=collections.Counter("aab"),
    last=collections.deque([1, 2], maxlen=2),
    simple=types.SimpleNamespace(x=1),
    started=datetime.datetime(2025, 11, 29, 12, 30, 1, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    day=datetime.date(2025, 11, 29),
    hour=datetime.time(12, 30),
    took=datetime.timedelta(hours=1, microseconds=5),
    zone=datetime.UTC,
)
OPTIONS_PLAIN = {
    "name": "flood-single",
    "lr": 5e-5,
    "batch_size": 128,
    "use_physics": True,
    "nothing": None,
    "ckpt_path": "/results/flood",
    "windows_path": "C:\\results\\flood",
    "sizes": [(1, 2), (3, -4)],
    "seen": {"a", "b"},
    "fixed": frozenset({1, 2}),
    "big": -(2**200),
    "raw": b"\x00\xff",
    "changing": b"\x00\xff",
    "wave": 1 - 2j,
    "steps": [2, 5],
    "part": (1, None, 2),
    "ordered": {"b": 1, "a": 2},
    "lists": {1: [2]},
    "counts": {"a": 2, "b": 1},
    "last": [1, 2],
    "simple": {"x": 1},
    "started": "2025-11-29T12:30:01.000005+02:00",
    "day": "2025-11-29",
    "hour": "12:30:00",
    "took": 3600.000005,
    "zone": "UTC",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_options_of_every_kind_become_plain_values(tmp_path, protocol):
    opened = read(tmp_path, OPTIONS, protocol)
    assert same(opened.content, OPTIONS_PLAIN)
    assert (opened.container, opened.opaque) == ("a pickle", ())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_and_arrays_of_numpy_become_numbers_and_tensors(tmp_path, protocol):
    value = {
        "scalars": [np.float64(0.5), np.float16(0.5), np.int8(-3), np.bool_(True), np.complex64(1j), np.str_("é")],
        "big endian": np.arange(6, dtype=">i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "zero-dimensional": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "bool": np.array([True, False]),
        "text": np.array([["a", "bb"], ["", "c"]]),
        "objects": np.array([[1, "x"], [None, 2.5]], dtype=object, order="F"),
        "type": np.dtype("float32"),
    }
    opened = read(tmp_path, value, protocol)
    expected = {
        "scalars": [0.5, 0.5, -3, True, 1j, "é"],
        "big endian": torch.arange(6, dtype=torch.int32).reshape(2, 3),
        "fortran": torch.arange(6, dtype=torch.float64).reshape(2, 3),
        "zero-dimensional": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "bool": torch.tensor([True, False]),
        "text": [["a", "bb"], ["", "c"]],
        "objects": [[1, "x"], [None, 2.5]],
        "type": "float32",
    }
    assert same(opened.content, expected) and opened.opaque == ()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_states_of_random_generators_of_numpy_are_found(tmp_path, protocol):
    generator, old = np.random.default_rng(1), np.random.RandomState(2)
    opened = read(tmp_path, [generator, old, old.get_state()], protocol)
    new, state, (name, key, *rest) = opened.content
    assert new == generator.bit_generator.state and opened.opaque == ()
    assert name == "MT19937" and rest == [624, 0, 0.0]
    assert torch.equal(key, torch.from_numpy(old.get_state()[1])) and torch.equal(state["state"]["key"], key)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors_in_a_plain_pickle_are_found_bit_for_bit(tmp_path, protocol):
    value = {
        "weight": torch.nn.Parameter(torch.randn(3, 2).t()),
        "half": torch.randn(3).bfloat16(),
        "number": torch.tensor(7),
        "size": torch.Size([1, 2]),
        "type": torch.bfloat16,
        "device": torch.device("cuda", 1),
    }
    opened = read(tmp_path, value, protocol)
    expected = value | {
        "weight": value["weight"].detach(),
        "size": (1, 2),
        "type": "torch.bfloat16",
        "device": "cuda:1",
    }
    assert same(opened.content, expected) and opened.opaque == ()


def test_files_of_numpy_1_are_read_by_its_names(tmp_path):
    written = pickle.dumps([np.float64(0.5), np.arange(3)], 2)
    assert b"numpy._core.multiarray\n" in written
    opened = read_bytes(tmp_path, written.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"))
    assert same(opened.content, [0.5, torch.arange(3)])


def test_strings_of_python_2_become_text_where_they_are_text(tmp_path):
    # pickle.dumps({'a': 'b\n', 'raw': '\xff', u'\xe9': 3L, 'odd': "it's"}) of Python 2.7, in protocol 0
    written = b"(dp0\nS'a'\np1\nS'b\\n'\np2\nsS'raw'\np3\nS'\\xff'\np4\nsV\xe9\np5\nL3L\nsS'odd'\np6\nS\"it's\"\np7\ns."
    assert read_bytes(tmp_path, written).content == {"a": "b\n", "raw": b"\xff", "é": 3, "odd": "it's"}
    assert read_bytes(tmp_path, b"\x80\x02]q\x00(U\x01aT\x01\x00\x00\x00\xffe.").content == ["a", b"\xff"]


def test_an_unknown_class_is_named_with_its_parts_and_never_made(tmp_path):
    filled = Listed([1, 2])
    filled.note = "x"
    opened = read(tmp_path, {"a": Unknown({"b": [1]}), "c": Colour.RED, "k": Keyed(x=1), "l": filled})
    name = __name__
    assert opened.content["a"] == Opaque(f"{name}.Unknown", {"arguments": (), "state": {"value": {"b": [1]}}})
    assert opened.content["c"].name in (f"{name}.Colour", "builtins.getattr")
    assert opened.content["k"] == Opaque(f"{name}.Keyed", {"arguments": (), "entries": {"x": 1}})
    expected = {"arguments": (), "state": {"note": "x"}, "items": [1, 2]}
    assert opened.content["l"] == Opaque(f"{name}.Listed", expected)
    assert {f"{name}.Unknown", f"{name}.Keyed", f"{name}.Listed"} <= set(opened.opaque)
    assert list(opened.opaque) == sorted(set(opened.opaque))


def test_classes_and_functions_that_are_only_mentioned_are_opaque_without_content(tmp_path):
    opened = read(tmp_path, [Unknown, operator.add, functools.partial(operator.add, 1)])
    assert opened.content[:2] == [Opaque(f"{__name__}.Unknown", {}), Opaque("_operator.add", {})]
    assert opened.content[2].name == "functools.partial"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_detours_lead_to_the_class_that_is_meant(tmp_path, protocol):
    opened = read(tmp_path, [Unknown(1), Keyed(x=1), collections.OrderedDict()], protocol)
    unknown, keyed, ordered = opened.content
    assert unknown == Opaque(f"{__name__}.Unknown", {"arguments": (), "state": {"value": 1}})
    assert keyed.name == f"{__name__}.Keyed" and ordered == {}


@pytest.mark.parametrize("protocol", [2, 4])
def test_keywords_of_an_unknown_class_are_shown(tmp_path, protocol):
    (found,) = read(tmp_path, [WithKeywords(width=3)], protocol).content
    if protocol == 4:
        assert found == Opaque(f"{__name__}.WithKeywords", {"arguments": (), "keywords": {"width": 3}})
    else:
        assert found.name == "functools.partial(...)"
        assert found.content["callee"].content["state"][2] == {"width": 3}


def test_a_known_class_that_is_not_as_it_always_is_stays_opaque(tmp_path):
    opened = read_bytes(
        tmp_path, b"\x80\x02](cdatetime\ndate\nU\x02abq\x00\x85Rccollections\nOrderedDict\nK\x03\x85Re."
    )
    assert opened.opaque == ("collections.OrderedDict", "datetime.date")


def test_a_value_in_two_places_stays_one_value(tmp_path):
    shared = [1]
    first, second = read(tmp_path, {"a": shared, "b": (shared,)}).content.values()
    assert first is second[0]


def test_a_value_that_contains_itself_is_cut_where_it_does(tmp_path):
    circle = {"name": "x"}
    circle["self"] = [circle]
    opened = read(tmp_path, circle)
    assert opened.content == {"name": "x", "self": [Opaque("(a part that contains itself)", {})]}
    assert opened.opaque == ("(a part that contains itself)",)


def test_keys_that_cannot_be_keys_become_text_and_none_is_lost(tmp_path):
    value = {
        Colour.RED: 1,
        (1, "a"): 2,
        pathlib.PurePosixPath("x"): 3,
        np.int64(5): 4,
        None: 5,
        ((1,), 2): 6,
        ((2,), 2): 7,
    }
    found = read(tmp_path, value, 2).content
    assert len(found) == 7 and list(found.values()) == [1, 2, 3, 4, 5, 6, 7]
    assert list(found)[1:5] == [(1, "a"), "x", 5, None]
    assert list(found)[5:] == ["((tuple), 2)", "((tuple), 2) (7)"]


# pickle.dumps(OmegaConf.create({"a": [1, "${b}"], "b": 2.5}), 2), as OmegaConf 2.4 writes it
OMEGACONF = (
    "fC6K0ZDnU+V{dL|E@WwAbYpLBW@%>%L}_DmLvL<oX=e&?04afS0ex`-C|C&q003WYWprU=VRT_}17mM(WoKbyZ*FETVqtS-"
    "3PW#hbYW?3WpYhrbYWy+bYTi{1Sx@W1$}V_C|C#p0044jW?yu9aAk1^V|00NX>Ml<L2h{paR^uo0001QVrpe$bYFCNaAk1`V_#ol"
    "b!lvLX>MO%3S?<xbP90_SO@?B0B>+~X>V>}Y;g;SSOWk60BdD=aSTpa1poj5W^7?+b8!uQaSm7t0001HY++|}Uvh76ba4-"
    "fSPlRH0CHt>Z)|pDa$jR%V`yb@5MyI+Y;0v?bZKvHa|&c-"
    "W?^+~bYy8`bP911XbOdK5>jy!SO@?B0BdD=UvznJWpNZ}2v`gN003odWo>0{bYFCNaAk27Xb5#;SO)+A0AFxna%FCGaTZQk2mk;8"
    "Ut@1>bY*UIaTk4Y7${f)0001CaT#N8ZDnU+V{dL|E^KLYbYpLBW@%>%Olfm;LvL<oX=e&?8YzKs8+~ycC};y{1Sx@W9er^gC};<0"
    "2xtjoUteN%X>4?9ZeL#tY-"
    "w|J3UME33y5e8Xc=e?eQ_XY4~b|HXc1@%g>fNLaUy6GV_#olb!lvLX>MO%3T$s~X9{s6XccG(bz*21XaQ&!U2!BRV{dI`XJKP+Ze"
    "}iSZ)9b23PEmpPH$vo3UMVVfpI2%aVIEf17mM(WoKbyZ*FETVqtS-"
    "3Qc8nVPs)+VG405DS>e*eQ_!%Xa{HrXbDbe3y5e8O8{sMeQ_&j4~b|HXc1@%g>fuWaV>RXXclN2SOfq70AF@tY;i720d-"
    "<%B`JY%FMV+^C};y{C@Fz)F@13|C};<02xtjTXbXsF3`+rM4SjJlXb*{K5NHu-3WaerQgJnPVrUj<8)z<A1ONa4Bzt0gaW-"
    "{gWp!d$0RR91VsSTUB`JY%IDK(BC};y{C@Fz)I(>0FC};<02xtjTXbXsF3}`oK4SjJuXb*{K5NHu-3Wae!QgJ?YVrUj<0cb8qKm-"
    "5)00000bz*gOVlD"
)


def test_containers_of_omegaconf_become_the_plain_data_in_them(tmp_path):
    opened = read_bytes(tmp_path, base64.b85decode(OMEGACONF))
    assert opened.content == {"a": [1, "${b}"], "b": 2.5} and opened.opaque == ()
