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
    target, depth = _innermost_module(names, path, expected)
    for i, name in enumerate(names[depth:], depth):
        if not hasattr(target, name):
            similar = difflib.get_close_matches(name, dir(target), n=1)
            hint = f" Did you mean {similar[0]!r}?" if similar else ""
            raise LeafError(
                f"Expected {expected} at {path!r}; {'.'.join(names[:i])!r} has no {name!r}.{hint}"
            )
        target = getattr(target, name)
    return target


def _innermost_module(names: list[str], path: str, expected: str) -> tuple[Any, int]:
    """Import the innermost module of a path; return it and the number of names that lead to it."""
    module, depth = None, 0
    while depth < len(names) - 1:
        name = ".".join(names[: depth + 1])
        # Distinguishes a module that does not exist from one whose imports fail.
        if (depth and not hasattr(module, "__path__")) or not importlib.util.find_spec(name):
            break
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise LeafError(
                f"Expected {expected} at {path!r}; importing {name!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        depth += 1
    if module is None:
        raise LeafError(
            f"Expected {expected} at {path!r}; there is no module {names[0]!r}. Modules are "
            "imported from the current folder and from Python's installed packages."
        )
    return module, depth
