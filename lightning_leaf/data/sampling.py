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
PERMUTED = 10_000_000
"""Number of positions up to which all of them are permuted to choose some."""


def positions_of(dataset: Any, sampler: Any, batch_sampler: Any) -> Sequence[Any]:
    """Return the positions that the sampler of a data loader can yield, each once.

    A process of a distributed training reads a share of them; all shares count. Samplers of other
    libraries are iterated, so call this function with copies, or in a process of its own.

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
        return _distinct(sampler.indices, dataset)
    if kind is WeightedRandomSampler:
        return [int(position) for position in torch.as_tensor(sampler.weights).nonzero()]
    return _distinct(sampler, dataset)


def choose(positions: Sequence[Any], count: int, seed: int) -> list[Any]:
    """Return ``count`` positions in random order, or all if there are fewer."""
    generator = torch.Generator().manual_seed(seed)
    if len(positions) <= PERMUTED:
        order = torch.randperm(len(positions), generator=generator)[:count]
    else:  # the few that would be drawn twice are left out
        drawn = torch.randint(len(positions), (count,), generator=generator).tolist()
        order = torch.tensor(list(dict.fromkeys(drawn)))
    return [positions[row] for row in order.tolist()]


def _distinct(positions: Iterable[Any], dataset: Any) -> list[Any]:
    """Return distinct positions, in ascending order if they have one."""
    limit = DRAWS_PER_EXAMPLE * max(len(dataset), 1000) if hasattr(dataset, "__len__") else 10**6
    drawn: Iterator[Any] = islice(positions, limit)
    distinct = dict.fromkeys(int(p) if _is_whole(p) else p for p in drawn)
    try:
        return sorted(distinct)
    except TypeError:
        return list(distinct)


def _is_whole(position: Any) -> bool:
    """Return whether a position is an integer of Python, NumPy or torch."""
    if isinstance(position, torch.Tensor):
        return position.ndim == 0 and not position.is_floating_point()
    return hasattr(position, "__index__") and not isinstance(position, bool)
