"""The number of inputs per forward pass."""

from __future__ import annotations

from lightning_leaf._arguments import whole_number

CHUNK_SIZE = 32
"""Default of the largest number of inputs per forward pass: small images stay in the cache."""
NUMBERS_AT_ONCE = 2**28
"""Largest number of entries in the gradients of a chunk: 1 GiB in float32."""

ROWS_OF_A_GRAPH = 200
"""Number of gradients that need about as much memory as the graphs of a forward and a backward
pass."""


def checked_chunk_size(chunk_size: int | None) -> int:
    """Return the largest number of inputs per forward pass; the default for None.

    Raises:
        LeafError: If it is not a positive whole number.
    """
    return CHUNK_SIZE if chunk_size is None else whole_number(chunk_size, "chunk_size")


def fitting_chunk_size(at_most: int, rows: int, size: int) -> int:
    """Return a chunk size whose gradients, ``rows`` of length ``size`` for each input, fit."""
    return max(1, min(at_most, NUMBERS_AT_ONCE // (rows * size)))
