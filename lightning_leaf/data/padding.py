"""Which rows of a padded batch are which examples, by their content."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rows_of_singles(batch: Tensor, singles: Sequence[Tensor]) -> list[int] | None:
    """Return, for each row of a batch, the number of the example that it contains.

    A row contains an example if it equals the example at its beginning or at its end, along every
    axis; the rest is padding.

    Args:
        batch: Inputs of the batch, ``(B, ...)``.
        singles: Inputs of the examples, ``(1, ...)`` each, none longer than a row.

    Returns:
        One number for each row, each example once; None if that cannot be decided.
    """
    if len(batch) != len(singles):
        return None
    order: list[int] = []
    for row in batch:
        matching = [
            number
            for number, single in enumerate(singles)
            if number not in order and _contains(row, single[0])
        ]
        if not matching:
            return None
        # Of several, the longest: a prefix of an example is contained in it, too.
        order.append(max(matching, key=lambda number: singles[number].numel()))
    return order


def _contains(row: Tensor, example: Tensor) -> bool:
    if row.ndim != example.ndim or row.dtype != example.dtype:
        return False
    if any(long < short for long, short in zip(row.shape, example.shape, strict=True)):
        return False
    begin = tuple(slice(0, length) for length in example.shape)
    end = tuple(slice(-length, None) for length in example.shape)
    return torch.equal(row[begin], example) or torch.equal(row[end], example)
