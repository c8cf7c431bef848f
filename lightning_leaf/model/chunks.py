"""How many inputs are worked on at once: as many as stay in cache, or fit into memory."""

from __future__ import annotations

from lightning_leaf.errors import LeafError

CHUNK_SIZE = 32
"""Inputs per forward pass at most where nothing is said: small images stay in cache."""
NUMBERS_AT_ONCE = 2**28
"""Of the gradients of a chunk: 1 GiB in float32."""

ROWS_OF_A_GRAPH = 200
"""Gradients that weigh about as much as the graphs of a forward and a backward pass."""


def checked_chunk_size(chunk_size: int | None) -> int:
    """The largest number of inputs per forward pass.

    Raises:
        LeafError: If it is not a positive whole number.
    """
    if chunk_size is None:
        return CHUNK_SIZE
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise LeafError(f"chunk_size expects a positive whole number; got {chunk_size!r}.")
    return chunk_size


def fitting_chunk_size(at_most: int, rows: int, size: int) -> int:
    """Fewer inputs where the gradients of each, ``rows`` of length ``size``, are large."""
    return max(1, min(at_most, NUMBERS_AT_ONCE // (rows * size)))
