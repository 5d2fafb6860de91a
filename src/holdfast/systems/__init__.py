"""The built-in systems: a name maps to an import path, and nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from difflib import get_close_matches

from holdfast.engine.system import System
from holdfast.errors import UserError

SYSTEMS = {
    "glint": "holdfast.systems.glint.system:system",
    "inktrace": "holdfast.systems.inktrace.system:system",
}


def load_system(name: str) -> System:
    """Gives a built-in system, or your own by `package.module:name`.

    Raises:
        UserError: When there is none of that name, or what is there is not a `System`.
    """
    path = SYSTEMS.get(name, name)
    if ":" not in path:
        near = get_close_matches(name, SYSTEMS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(
            f"`system` must be one of {', '.join(sorted(SYSTEMS))} or your own as package.module:name, "
            f"but got {name!r}{hint}."
        )
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise UserError(f"`system` must have the form package.module:name, but got {name!r}; look at the spelling.")
    # An installed command does not have the current folder on its path, as `python -m` has.
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise
        raise UserError(
            f"`system` must name a module that can be imported, but got {name!r} and there is no module "
            f"{error.name!r}; run from the folder that holds it, or install it."
        ) from error
    system = getattr(module, attribute, None)
    if not isinstance(system, System):
        got = "nothing" if system is None else type(system).__name__
        raise UserError(
            f"`system` must name a holdfast.System, but {name!r} is {got}; look at the name after the colon."
        )
    return system
