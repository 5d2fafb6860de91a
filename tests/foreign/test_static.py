"""Nothing in the package can unpickle: seen in its source, whatever path a program takes."""

import ast
from pathlib import Path

import pytest

import holdfast

UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pandas"}


RUN_WHAT_THEY_ARE_GIVEN = {"eval", "exec", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"}


def unsafe_in(source: str) -> list[str]:
    """Gives what in a source could run what a file says: each with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            if any(module.split(".")[0] in UNPICKLERS for module in modules):
                found.append(f"{node.lineno}: import of {', '.join(modules)}")
            if isinstance(node, ast.ImportFrom) and node.module in ("torch", "torch.serialization") and "load" in names:
                found.append(f"{node.lineno}: torch.load by another name")
        if isinstance(node, ast.Attribute) and node.attr == "allow_pickle":
            found.append(f"{node.lineno}: allow_pickle")
        if isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _unsafe_call(node: ast.Call) -> list[str]:
    said = {word.arg or "**": ast.unparse(word.value) for word in node.keywords}
    name = ast.unparse(node.func)
    loads = name.split(".")[-1] in ("load", "loads")
    safely = said.get("weights_only", "True") == "True" if loads else said.get("weights_only") != "False"
    safely = safely and said.get("allow_pickle", "False") == "False" and not (loads and "**" in said)
    if name in ("torch.load", "torch.serialization.load"):
        safely = safely and "weights_only" in said
    return [] if safely and name not in RUN_WHAT_THEY_ARE_GIVEN else [f"{node.lineno}: {ast.unparse(node)}"]


def test_nothing_in_the_package_unpickles():
    root = Path(holdfast.__file__).parent
    found = {str(path.relative_to(root)): unsafe_in(path.read_text()) for path in root.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert len(found) > 100


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads as read",
        "import os, pickle as p",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "torch.load(path, **options)",
        "distributed.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "exec(text)",
        "torch.jit.load(path)",
        "import joblib.memory",
    ],
)
def test_whatever_unpickles_would_be_seen(source):
    assert unsafe_in(source)


def test_what_is_safe_is_not_reported():
    assert (
        unsafe_in("torch.load(path, weights_only=True)\nnumpy.load(path, allow_pickle=False)\njson.loads(text)") == []
    )
