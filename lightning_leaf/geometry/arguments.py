"""Checks of the arguments that all local data matrices take."""

from __future__ import annotations

import math

from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError


def input_vectors(v: Tensor, expected: tuple[int, ...]) -> Tensor:  # (B, ...) -> (B, d)
    """Return one flattened vector for each input.

    Raises:
        LeafError: If v is not floating point, or has neither the shape of the inputs nor its
            flattened form.
    """
    flat = (expected[0], math.prod(expected[1:]))
    if tuple(v.shape) not in (expected, flat):
        raise LeafError(
            f"Expected one vector for each input, shape {expected} or its flattened form; got "
            f"{tuple(v.shape)}."
        )
    _require_floating_point(v)
    return v.detach().reshape(flat)


def class_vectors(c: Tensor, log_probs: Tensor) -> Tensor:  # (B, C) -> (B, C)
    """Return one float64 vector of class space for each input.

    Raises:
        LeafError: If c is not floating point, or has another shape than the log-probabilities.
    """
    if c.shape != log_probs.shape:
        raise LeafError(
            f"Expected one vector of class space for each input, shape {tuple(log_probs.shape)}; "
            f"got {tuple(c.shape)}."
        )
    _require_floating_point(c)
    return c.detach().to(log_probs)


def eigenvalue_count(count: int | None, default: int, classes: int) -> int:
    """Return the number of eigenvalues: ``count``, or the default if it is None.

    Raises:
        LeafError: If ``count`` is not a whole number from 1 to the number of classes.
    """
    if count is None:
        return min(default, classes)
    return whole_number(count, "count", at_most=classes)


def _require_floating_point(vectors: Tensor) -> None:
    if not vectors.is_floating_point():
        raise LeafError(
            f"Expected floating-point vectors; got {vectors.dtype}. Convert them with .float()."
        )
