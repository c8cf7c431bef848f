"""The number of inputs per forward pass, and of gradients per backward pass."""

from __future__ import annotations

from typing import Protocol

import torch

from lightning_leaf._arguments import whole_number
from lightning_leaf.model.memory import available_bytes

CHUNK_SIZE = 32
"""Inputs per forward pass on a CPU: the activations of small images stay in the cache."""
ACCELERATOR_CHUNK_SIZE = 1024
"""Most inputs per forward pass on an accelerator, if its memory allows."""
SHARE_OF_MEMORY = 0.25
"""Share of the free memory of an accelerator for the activations of a chunk and their gradients."""
NUMBERS_AT_ONCE = 2**28
"""Largest number of entries in the gradients of a chunk: 1 GiB in float32."""

ROWS_OF_A_GRAPH = 200
"""Number of gradients that need about as much memory as the graphs of a forward and a backward
pass."""


class Measured(Protocol):
    """What must be known of a classifier to choose a size: its device and its activations."""

    device: torch.device | None
    bytes_per_input: int | None


def checked_chunk_size(chunk_size: int | None) -> int | None:
    """Return the largest number of inputs per forward pass; None if it is to be chosen.

    Raises:
        LeafError: If it is not a positive whole number.
    """
    return None if chunk_size is None else whole_number(chunk_size, "chunk_size")


def chosen_chunk_size(chunk_size: int | None, classifier: Measured, rows: int, size: int) -> int:
    """Return the number of inputs per forward pass.

    Args:
        chunk_size: The argument of the user; None for the best size of the device: 32 on a CPU, on
            an accelerator as many as fit into a quarter of the free memory, with all gradients of
            a backward pass at once.
        classifier: An open classifier that has been tried, see :meth:`Classifier.require_usable`.
        rows: Number of gradients of each input, C.
        size: Numbers in each gradient, d.
    """
    if chunk_size is None:
        chunk_size = CHUNK_SIZE
        memory = _memory_for_a_chunk(classifier)
        if memory is not None:
            per_input = _activation_bytes(classifier) * rows + 12 * rows * size
            chunk_size = max(1, min(ACCELERATOR_CHUNK_SIZE, memory // per_input))
    return fitting_chunk_size(chunk_size, rows, size)


def fitting_chunk_size(at_most: int, rows: int, size: int) -> int:
    """Return a chunk size whose gradients, ``rows`` of length ``size`` for each input, fit."""
    return max(1, min(at_most, NUMBERS_AT_ONCE // (rows * size)))


def gradients_at_once(classifier: Measured, inputs: int, count: int) -> int:
    """Return how many of ``count`` gradients one backward pass on an accelerator computes.

    Args:
        classifier: An open classifier.
        inputs: Inputs of the pass.
        count: Number of gradients.
    """
    memory = _memory_for_a_chunk(classifier)
    if memory is None:
        return count
    return max(1, min(count, memory // (_activation_bytes(classifier) * inputs)))


def _memory_for_a_chunk(classifier: Measured) -> int | None:
    """Return the bytes to use; None on a CPU, and on accelerators that do not tell."""
    if classifier.device is None or classifier.bytes_per_input is None:
        return None
    available = available_bytes(classifier.device)
    return None if available is None else int(SHARE_OF_MEMORY * available)


def _activation_bytes(classifier: Measured) -> int:
    return max(1, classifier.bytes_per_input or 0)
