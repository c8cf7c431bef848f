"""Import classes, functions and data that a command line names by dotted paths."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import Any

from lightning_leaf.errors import LeafError


def named(path: str, expected: str) -> Any:
    """Import the object at a dotted path such as ``package.module.Class``.

    Args:
        path: Modules, then attributes.
        expected: What the object should be, for error messages.

    Raises:
        LeafError: If a module or an attribute does not exist, or an import fails.

    Example:
        >>> named("torch.nn.Linear", "a class").__name__
        'Linear'
    """
    names = path.split(".")
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        raise LeafError(f"Expected {expected} as a dotted path, package.module.Name; got {path!r}.")
    found, depth = _innermost_module(names, path, expected)
    for i, name in enumerate(names[depth:], depth):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, dir(found), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise LeafError(
                f"Expected {expected} at {path!r}; {'.'.join(names[:i])!r} has no {name!r}.{hint}"
            )
        found = getattr(found, name)
    return found


def _innermost_module(names: list[str], path: str, expected: str) -> tuple[Any, int]:
    """Import the innermost module of a path; also return how many names lead to it."""
    found, depth = None, 0
    while depth < len(names) - 1:
        module = ".".join(names[: depth + 1])
        # A module that does not exist is another error than a module whose imports fail.
        if (depth and not hasattr(found, "__path__")) or not importlib.util.find_spec(module):
            break
        try:
            found = importlib.import_module(module)
        except Exception as error:
            raise LeafError(
                f"Expected {expected} at {path!r}; importing {module!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        depth += 1
    if found is None:
        raise LeafError(
            f"Expected {expected} at {path!r}; there is no module {names[0]!r}. Modules are "
            "imported from the current folder and from Python's installed packages."
        )
    return found, depth
