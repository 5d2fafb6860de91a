"""Detours that pickles take to name a class, made straight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.checkpoint.foreign.graph import ABSENT, Call, Name, Table
from holdfast.checkpoint.foreign.limits import Spending

_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "pathlib._local": "pathlib",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "torch.nn.parameter": "torch.nn",
}
"""Modules that have had, or have, another name."""
_NAMES = {
    ("builtins", "xrange"): ("builtins", "range"),
    ("torch", "UntypedStorage"): ("torch.storage", "UntypedStorage"),
}
_PLAIN_TENSORS = {("torch", "Tensor"), ("torch", "Parameter"), ("torch.nn", "Parameter"), ("torch.nn", "Buffer")}
_ONLY_THIS_STATE = {
    ("omegaconf.dictconfig", "DictConfig"): "_content",
    ("omegaconf.listconfig", "ListConfig"): "_content",
    ("omegaconf.base", "UnionNode"): "_content",
    **{
        ("omegaconf.nodes", f"{kind}Node"): "_val"
        for kind in ("Any", "String", "Path", "Integer", "Float", "Boolean", "Bytes", "Enum")
    },
}
"""Objects that are a wrapping around one plain value, with much in their state that is of no use outside."""


def usual_name(name: Name) -> tuple[str, str]:
    """Gives the module and name by which a class is known here."""
    usual = (_MODULES.get(name.module, name.module), name.name)
    return _NAMES.get(usual, usual)


def unwrapped(call: Call, spending: Spending) -> Any:
    """Gives the one plain node that an object is a wrapping around; ABSENT for other objects."""
    if type(call.callee) is not Name or type(call.state) is not Table:
        return ABSENT
    part = _ONLY_THIS_STATE.get(usual_name(call.callee))
    if part is None:
        return ABSENT
    spending.operations(len(call.state))
    return call.state.get(part)


def straight(call: Call) -> Call:
    """Gives the call of the class that a detour leads to; a call without one as it is."""
    if type(call.callee) is not Name:
        return call
    detour = _DETOURS.get(usual_name(call.callee))
    return call if detour is None else detour(call)


def _reconstructed(call: Call) -> Call:
    match call.arguments:
        case (Name() as kind, Name() as base, state):
            return call.with_callee(kind, () if usual_name(base) == ("builtins", "object") else (state,))
    return call


def _new_object(call: Call) -> Call:
    match call.arguments:
        case (Name() as kind, *arguments):
            return call.with_callee(kind, tuple(arguments))
    return call


def _new_object_with_keywords(call: Call) -> Call:
    match call.arguments:
        case (Name() as kind, tuple() as arguments, Table() as keywords):
            return call.with_callee(kind, arguments, keywords)
    return call


def _tensor_of_type(call: Call) -> Call:
    """A tensor with attributes, or of a class that extends tensors: a plain tensor, or an object with one in it."""
    match call.arguments:
        case (Name() as function, Name() as kind, tuple() as arguments, state):
            tensor = Call(function, arguments)
            if usual_name(kind) in _PLAIN_TENSORS:
                return tensor
            extended = Call(kind, (tensor,))
            extended.state = state
            return extended
    return call


_DETOURS: Mapping[tuple[str, str], Callable[[Call], Call]] = {
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copyreg", "__newobj__"): _new_object,
    ("copyreg", "__newobj_ex__"): _new_object_with_keywords,
    ("torch._tensor", "_rebuild_from_type"): _tensor_of_type,
    ("torch._tensor", "_rebuild_from_type_v2"): _tensor_of_type,
}
