"""The random number generators in the attributes of a data set and its transforms."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

DEPTH = 6
"""Depth of attributes and items up to which generators are searched."""
MAX_ITEMS = 100
"""Largest length of a collection that is searched. Longer ones contain data, not transforms."""


@contextmanager
def unchanged_generators(*carriers: Any) -> Iterator[None]:
    """Restore the state of every generator that the given objects refer to, at exit.

    Indexing a data set advances the generators of its transforms. If they were not restored, the
    training would draw other random numbers.

    Args:
        *carriers: Data sets, transforms, collate functions or other objects. Their attributes and
            items are searched up to a depth of 6.
    """
    restorers = [
        restorer
        for item in _reachable(list(carriers))
        if (restorer := _restorer_of(item)) is not None
    ]
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _restorer_of(candidate: Any) -> Callable[[], Any] | None:
    """Return a function that restores the current state of a generator; None for other objects."""
    if isinstance(candidate, torch.Generator):
        state = candidate.get_state()
        return lambda: candidate.set_state(state)
    if isinstance(candidate, np.random.Generator):
        bits = candidate.bit_generator
        numbers = bits.state
        return lambda: setattr(bits, "state", numbers)
    if isinstance(candidate, np.random.RandomState):
        legacy = candidate.get_state()
        return lambda: candidate.set_state(legacy)
    if isinstance(candidate, random.Random):
        inner = candidate.getstate()
        return lambda: candidate.setstate(inner)
    return None


def _reachable(objects: list[Any], depth: int = DEPTH) -> Iterator[Any]:
    """Yield objects, their attributes and the items of their collections, each once."""
    visited: set[int] = set()
    while objects and depth:
        new = [item for item in objects if not (id(item) in visited or visited.add(id(item)))]  # type: ignore[func-returns-value]
        yield from new
        objects = [part for item in new for part in _parts(item)]
        depth -= 1


def _parts(parent: Any) -> list[Any]:
    if isinstance(parent, (torch.Tensor, np.ndarray, str, bytes, type)):
        return []
    if isinstance(parent, Mapping):
        return list(parent.values()) if len(parent) <= MAX_ITEMS else []
    if isinstance(parent, (list, tuple, set)):
        return list(parent) if len(parent) <= MAX_ITEMS else []
    # A collate_fn may be a bound method; __self__ is its object.
    return [*getattr(parent, "__dict__", {}).values(), getattr(parent, "__self__", None)]
