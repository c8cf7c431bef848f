"""The positions of a data set that a data loader reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

DRAWS_PER_EXAMPLE = 4
"""Largest number of draws from a sampler per example of the data set; some never end."""
LISTED = 2_000_000
"""Number of positions up to which all of them are listed and permuted to choose some."""
WITHOUT_LENGTH = 1_000_000
"""Largest number of draws from a sampler if the data set has no length."""


def positions_of(dataset: Any, sampler: Any, batch_sampler: Any) -> Sequence[Any]:
    """Return the positions that the sampler of a data loader can yield, each once.

    A process of a distributed training reads a share of them; all shares count. Samplers of other
    libraries are iterated, so call this function with copies, or in a process of its own. Of these
    samplers the first :data:`DRAWS_PER_EXAMPLE` draws per example count, and of a data set with
    more than :data:`LISTED` examples the first :data:`LISTED`. A longer list of a user is returned
    as it is, and can contain positions several times.

    Args:
        dataset: A data set with positions.
        sampler: The sampler of the loader; None for all positions.
        batch_sampler: The batch sampler of the loader, if it has one.
    """
    if batch_sampler is not None and type(batch_sampler) is not BatchSampler:
        batches = iter(batch_sampler)
        return _distinct((position for batch in batches for position in batch), dataset)
    if batch_sampler is not None:
        sampler = batch_sampler.sampler
    kind = type(sampler)
    if isinstance(sampler, DistributedSampler):
        # Lightning's wrapper distributes what another sampler yields.
        inner = getattr(sampler.dataset, "_sampler", None)
        return range(len(dataset)) if inner is None else positions_of(dataset, inner, None)
    if sampler is None:
        return range(len(dataset))
    if kind in (SequentialSampler, RandomSampler):
        return range(len(sampler.data_source))
    if kind is SubsetRandomSampler:
        indices: Sequence[Any] = sampler.indices
        is_long = len(indices) > LISTED and _is_huge(dataset)
        return indices if is_long else _distinct(indices, dataset)
    if kind is WeightedRandomSampler:
        rows: Any = torch.as_tensor(sampler.weights).nonzero().flatten()
        return rows if len(rows) > LISTED else rows.tolist()  # type: ignore[no-any-return]
    return _distinct(sampler, dataset)


def choose(positions: Sequence[Any], count: int, seed: int) -> list[Any]:
    """Return ``count`` distinct positions in random order, or all if there are fewer.

    Of more than :data:`LISTED` positions, the time and the memory depend on ``count`` alone.
    """
    total = len(positions)
    generator = torch.Generator().manual_seed(seed)
    if total <= max(LISTED, 2 * count):
        rows = torch.randperm(total, generator=generator)[:count].tolist()
    else:
        rows = _distinct_rows(total, count, generator)
    return list(dict.fromkeys(_plain(positions[row]) for row in rows))


def _distinct_rows(total: int, count: int, generator: torch.Generator) -> list[int]:
    """Return different random numbers below ``total``, which is larger than twice their number."""
    rows: dict[int, None] = {}
    while len(rows) < count:
        drawn = torch.randint(total, (count - len(rows),), generator=generator)
        rows |= dict.fromkeys(drawn.tolist())
    return list(rows)


def _distinct(positions: Iterable[Any], dataset: Any) -> list[Any]:
    """Return distinct positions, in ascending order if they have one."""
    if not hasattr(dataset, "__len__"):
        limit = WITHOUT_LENGTH
    else:
        limit = LISTED if _is_huge(dataset) else DRAWS_PER_EXAMPLE * max(len(dataset), 1000)
    drawn: Iterator[Any] = islice(positions, limit)
    distinct = dict.fromkeys(map(_plain, drawn))
    try:
        return sorted(distinct)
    except TypeError:
        return list(distinct)


def _is_huge(dataset: Any) -> bool:
    return hasattr(dataset, "__len__") and len(dataset) > LISTED


def _plain(position: Any) -> Any:
    return int(position) if _is_whole(position) else position


def _is_whole(position: Any) -> bool:
    """Return whether a position is an integer of Python, NumPy or torch."""
    if isinstance(position, torch.Tensor):
        return position.ndim == 0 and not position.is_floating_point()
    return hasattr(position, "__index__") and not isinstance(position, bool)
