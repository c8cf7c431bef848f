"""Import classes, functions and data that a command line names by dotted paths."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_leaf.cli.failures import say, user_code
from lightning_leaf.errors import LeafError, result_of, shown


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
        raise LeafError(
            f"Expected {expected} as a dotted path, package.module.Name; got {shown(path)}."
        )
    with user_code(f"Expected {expected} at {shown(path)}; importing it", "Correct the module."):
        target, depth = _innermost_module(names, path, expected)
        module = target
        for i, name in enumerate(names[depth:], depth):
            if not hasattr(target, name):
                similar = difflib.get_close_matches(name, dir(target), n=1)
                hint = f" Did you mean {similar[0]!r}?" if similar else ""
                raise LeafError(
                    f"Expected {expected} at {shown(path)}; {'.'.join(names[:i])!r} has no "
                    f"{name!r}.{hint}{_origin(module, names[0])}"
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
        module = importlib.import_module(name)
        depth += 1
    if module is None:
        raise LeafError(
            f"Expected {expected} at {shown(path)}; there is no module {names[0]!r}. Modules are "
            "imported from Python's installed packages and from the current folder."
        )
    return module, depth


def say_what_is_hidden(paths: Sequence[str | None]) -> None:
    """Print a line for each module that is imported although the current folder has one.

    Args:
        paths: The arguments that may be dotted paths; None if not given.
    """
    names = [path.split(".")[0] for path in paths if path is not None and "." in path]
    if "LOCAL_RANK" in os.environ:  # a process that the first one has started
        return
    for name in dict.fromkeys(names):
        spec = result_of(importlib.util.find_spec, name) if name.isidentifier() else None
        hidden = _hidden(name, getattr(spec, "origin", None))
        if hidden is not None:
            assert spec is not None
            say(
                f"lightning-leaf: module {name!r} is imported from {spec.origin}, not from "
                f"{hidden}, because installed modules come first. To use that of the current "
                "folder, run: PYTHONPATH=. lightning-leaf measure …"
            )


def _hidden(name: str, file: Any) -> Path | None:
    """Return the module of the current folder that an imported file of the same name hides."""
    folder = Path.cwd()
    if not isinstance(file, str) or folder in Path(file).resolve().parents:
        return None
    package = folder / name
    if package.is_dir() and any(package.glob("*.py")):
        return package
    module = folder / f"{name}.py"
    return module if module.is_file() else None


def _origin(module: Any, name: str) -> str:
    """Say from which file a module was imported, and which module of the same name it hides."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    return f" It was imported from {file}." + (
        f" This hides {name!r} in the current folder, because installed modules come first; "
        "rename it, or set PYTHONPATH=."
        if _hidden(name, file)
        else ""
    )
