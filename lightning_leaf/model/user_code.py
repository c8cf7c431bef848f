"""Which code is the user's own, and which names it refers to."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from functools import cache

LIBRARIES = {"torch", "lightning", "pytorch_lightning", "lightning_fabric", "lightning_leaf"}
"""Packages whose objects belong to the training itself: optimizers, data sets, the trainer."""
INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages."""


def package_of(kind: type) -> str:
    """Return the top-level package in which a class is defined."""
    return kind.__module__.partition(".")[0]


@cache
def is_user_code(module_name: str) -> bool:
    """Return whether a module is a script, a notebook or part of the user's project.

    Modules of the standard library and installed packages are not.
    """
    package = module_name.partition(".")[0]
    if package == "__main__":
        return True
    if package in LIBRARIES or package in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return file is not None and not any(folder in file for folder in INSTALLED)


def names_used(code: types.CodeType) -> set[str]:
    """Return the names of variables and attributes in a function and the functions inside of it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_used(constant)
    return names


def methods_called(kind: type, first: str) -> Iterator[types.FunctionType]:
    """Yield a method of a class, and the methods of the user that it calls by name."""
    pending, seen = [first], {first}
    while pending:
        method = _method(kind, pending.pop())
        if method is None:
            continue
        yield method
        new = names_used(method.__code__) - seen
        seen |= new
        pending += new


def _method(kind: type, name: str) -> types.FunctionType | None:
    for base in kind.__mro__:
        value = vars(base).get(name)
        if value is not None:
            value = getattr(value, "__func__", value)  # of static and class methods
            is_method = isinstance(value, types.FunctionType) and package_of(base) not in LIBRARIES
            return value if is_method else None
    return None
