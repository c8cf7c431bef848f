"""Identify the data of a table, so that a run with other data does not resume it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, Subset

from lightning_leaf.data.reading import reader_of
from lightning_leaf.data.requests import Request
from lightning_leaf.data.sources import Positioned, Source
from lightning_leaf.predict.digests import Digest
from lightning_leaf.predict.pairs import PairDataset

READINGS = 3
"""A random transform, such as a flip, may return the same example twice."""


def data_settings(loader: DataLoader[Any]) -> dict[str, str | None]:
    """Return digests of the data that a loader reads, as settings of a table.

    Args:
        loader: A loader of a map-style data set.

    Returns:
        ``data``: a digest of the first, middle and last example; None if reading them again gives
        other examples, or if they cannot be read. ``positions``: a digest of the pairs of a
        :class:`PairDataset` or of the indices of a ``Subset``; None for other data sets.
    """
    with isolate_rng(include_cuda=False):
        examples = _examples_digest(loader)
    return {"data": examples, "positions": _positions_digest(loader.dataset)}


def _examples_digest(loader: DataLoader[Any]) -> str | None:
    length = len(loader.dataset)  # type: ignore[arg-type]
    positions = tuple(dict.fromkeys([0, length // 2, length - 1]))
    try:
        # In the order of the data set, as it is measured.
        plain = DataLoader(
            loader.dataset,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )
        request = _ExampleDigests(positions, len(positions), seed=0)
        digests = reader_of(plain).read(request).batches
    except Exception:  # measuring reports it
        return None
    return None if "" in digests else _digest_of(digests)


@dataclass(frozen=True)
class _ExampleDigests(Request):
    """A request for a digest of each example; it is empty if the example changes."""

    def __call__(self, source: Source) -> Iterator[dict[str, Any] | None]:
        examples = Positioned(source)
        for position in self.positions or ():
            digests = set()
            for _ in range(READINGS):
                digests.add(_digest_of(examples.single(examples.item(position))))
                yield None
            yield {"batch": digests.pop() if len(digests) == 1 else ""}


def _positions_digest(dataset: Any) -> str | None:
    found: list[Any] = []
    while type(dataset) is Subset or isinstance(dataset, PairDataset):
        found.append(dataset.pairs if isinstance(dataset, PairDataset) else dataset.indices)
        dataset = dataset.dataset
    return _digest_of([_array(positions) for positions in found]) if found else None


def _array(positions: Any) -> Any:
    if type(positions) is range:
        return np.arange(positions.start, positions.stop, positions.step)
    try:
        return np.asarray(positions, np.int64)
    except (OverflowError, TypeError, ValueError):  # keys of a mapping
        return list(positions)


def _digest_of(value: Any) -> str:
    digest = Digest()
    digest.add(value)
    return digest.text()
