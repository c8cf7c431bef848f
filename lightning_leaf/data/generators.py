"""The random number generators that a data set and its transforms carry with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

DEPTH = 6
"""Of attributes and items in which generators are looked for."""
MOST_ITEMS = 100
"""Of a collection that is looked into: a longer one holds data."""


@contextmanager
def unchanged_generators(*carriers: Any) -> Iterator[None]:
    """Restore the state of all generators that these objects hold, at any depth that is usual.

    Whoever indexes a data set advances them, and the training would go on with other numbers.
    """
    restorers = [
        restorer
        for thing in _reachable(list(carriers))
        if (restorer := _restorer_of(thing)) is not None
    ]
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _restorer_of(thing: Any) -> Callable[[], Any] | None:
    """Puts a generator back into the state that it has now; None for anything else."""
    if isinstance(thing, torch.Generator):
        state = thing.get_state()
        return lambda: thing.set_state(state)
    if isinstance(thing, np.random.Generator):
        bits = thing.bit_generator
        numbers = bits.state
        return lambda: setattr(bits, "state", numbers)
    if isinstance(thing, np.random.RandomState):
        legacy = thing.get_state()
        return lambda: thing.set_state(legacy)
    if isinstance(thing, random.Random):
        inner = thing.getstate()
        return lambda: thing.setstate(inner)
    return None


def _reachable(things: list[Any], depth: int = DEPTH) -> Iterator[Any]:
    """Objects, their attributes, the items of their collections, each once."""
    seen: set[int] = set()
    while things and depth:
        new = [thing for thing in things if not (id(thing) in seen or seen.add(id(thing)))]  # type: ignore[func-returns-value]
        yield from new
        things = [part for thing in new for part in _parts(thing)]
        depth -= 1


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, (torch.Tensor, np.ndarray, str, bytes, type)):
        return []
    if isinstance(thing, Mapping):
        return list(thing.values()) if len(thing) <= MOST_ITEMS else []
    if isinstance(thing, (list, tuple, set)):
        return list(thing) if len(thing) <= MOST_ITEMS else []
    # A bound method, as a collate_fn may be, leads to its object.
    return [*getattr(thing, "__dict__", {}).values(), getattr(thing, "__self__", None)]
