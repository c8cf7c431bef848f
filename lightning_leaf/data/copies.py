"""Copies of data sets that share nothing that reading can change."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from lightning_leaf.data.managed_objects import is_managed

T = TypeVar("T")

SHARED_BYTES = 64 * 2**20
"""Tensors and arrays from this size on are shared, not copied: they are the data."""
DEPTH = 8
"""Depth of attributes and items up to which large tensors and arrays are searched."""
MAX_ITEMS = 10_000
"""Largest length of a collection that is searched."""


def independent_copy(original: T, shared: tuple[Any, ...] = ()) -> T:
    """Return a deep copy, which shares only functions, classes and large tensors and arrays.

    Objects of the operating system, such as open files, locks, threads, sockets and open archives
    and databases, cannot be copied: two objects with one file would share its position.

    Args:
        original: A data set, or a collection of objects.
        shared: Objects that the copy refers to as the original does.

    Raises:
        Exception: Any error, if the original contains what cannot be copied.
    """
    memo: dict[int, Any] = {id(each): each for each in shared}
    for part in _reachable(original, set(memo)):
        if is_managed(part):
            raise TypeError(f"a {type(part).__name__} cannot be copied, because a server holds it")
        if _is_large(part):
            memo[id(part)] = part
    return copy.deepcopy(original, memo)


def _is_large(part: Any) -> bool:
    if isinstance(part, Tensor):
        return part.layout is not None and part.nbytes >= SHARED_BYTES
    # Arrays that cannot be written are files in memory, or views of bytes.
    return isinstance(part, np.ndarray) and (
        part.nbytes >= SHARED_BYTES or not part.flags.writeable
    )


def _reachable(root: Any, visited: set[int]) -> Iterator[Any]:
    """Yield an object, its attributes and the items of its collections, each once."""
    level = [root]
    for _ in range(DEPTH):
        new = []
        for item in level:
            if id(item) not in visited:
                visited.add(id(item))
                new.append(item)
        yield from new
        level = [part for item in new for part in _parts(item)]


def _parts(parent: Any) -> list[Any]:
    if isinstance(parent, (Tensor, np.ndarray, str, bytes, type, int, float)):
        return []
    if isinstance(parent, Mapping):
        return list(parent.values()) if len(parent) <= MAX_ITEMS else []
    if isinstance(parent, (list, tuple, set)):
        return list(parent) if len(parent) <= MAX_ITEMS else []
    # A collate_fn may be a bound method; __self__ is its object.
    return [*getattr(parent, "__dict__", {}).values(), getattr(parent, "__self__", None)]
