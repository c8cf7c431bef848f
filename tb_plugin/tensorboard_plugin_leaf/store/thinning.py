"""Fewer snapshots of a run and name than it has, evenly over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def thinned(items: Sequence[_T], limit: int) -> Sequence[_T]:
    """Return at most ``limit`` items: all, or every second, fourth, … item and the last.

    An item that was left out stays left out while the sequence grows, and the others change only
    when its length doubles.

    Args:
        items: Any sequence.
        limit: Maximum number of items, at least 2.

    Example:
        >>> from tensorboard_plugin_leaf.store.thinning import thinned
        >>> thinned(range(10), limit=5)
        [0, 4, 8, 9]
    """
    if len(items) <= limit:
        return items
    stride = 1
    while stride < len(items) and -(-len(items) // stride) + 1 > limit:
        stride *= 2
    kept = list(items[::stride])
    return kept if (len(items) - 1) % stride == 0 else [*kept, items[-1]]
