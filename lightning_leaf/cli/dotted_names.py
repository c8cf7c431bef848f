"""Classes, factories and data named on a command line, as dotted paths."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import Any

from lightning_leaf.errors import LeafError


def named(path: str, what: str) -> Any:
    """What a dotted path such as ``package.module.Class`` names.

    Args:
        path: Modules, then attributes.
        what: What is expected, for the message of an error.

    Raises:
        LeafError: If a module or an attribute is not there.

    Example:
        >>> named("torch.nn.Linear", "a class").__name__
        'Linear'
    """
    names = path.split(".")
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        raise LeafError(f"Expected {what} as a dotted path, package.module.Name; got {path!r}.")
    found, depth = _module(names, path, what)
    for i, name in enumerate(names[depth:], depth):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, dir(found), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise LeafError(
                f"Expected {what} at {path!r}; {'.'.join(names[:i])!r} has no {name!r}.{hint}"
            )
        found = getattr(found, name)
    return found


def _module(names: list[str], path: str, what: str) -> tuple[Any, int]:
    """The innermost module of a path, and how many of the names lead to it."""
    found, depth = None, 0
    while depth < len(names) - 1:
        module = ".".join(names[: depth + 1])
        # Not found is another mistake than an import inside of it that fails.
        if (depth and not hasattr(found, "__path__")) or not importlib.util.find_spec(module):
            break
        try:
            found = importlib.import_module(module)
        except Exception as error:
            raise LeafError(
                f"Expected {what} at {path!r}; importing {module!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        depth += 1
    if found is None:
        raise LeafError(
            f"Expected {what} at {path!r}; there is no module {names[0]!r}. Modules are looked "
            "for in the current folder and where Python has its packages."
        )
    return found, depth
