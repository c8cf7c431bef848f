"""The classes or labels whose probabilities are shown when there are many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES_SHOWN = 20
"""Largest number of classes shown; snapshots add the sum of the other classes as "other"."""


def most_probable_classes(
    probabilities: npt.NDArray[Any],  # (T + 1, C)
    count: int = CLASSES_SHOWN,
) -> list[int]:
    """Return the classes with the largest probability at any step of a path, in ascending order.

    Args:
        probabilities: p of every class or label at every step; NaN counts as zero.
        count: Largest number of classes to return.

    Example:
        >>> most_probable_classes(np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]), count=2)
        [0, 2]
    """
    largest = np.nan_to_num(probabilities).max(0)
    shown: list[int] = np.sort(largest.argsort()[::-1][:count]).tolist()
    return shown
