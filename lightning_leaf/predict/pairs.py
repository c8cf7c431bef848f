"""Pairs of examples, and the ends of the paths between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf.data.batches import Examples
from lightning_leaf.errors import LeafError
from lightning_leaf.monitoring.reading import Reading


class PairDataset(Dataset[dict[str, Any]]):
    """Pairs of examples of one data set, for :class:`PathPredictor`.

    Args:
        dataset: A map-style data set of inputs, or of inputs and labels.
        pairs: Positions ``(source, destination)`` in the data set.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> data = TensorDataset(torch.rand(5, 3), torch.arange(5))
        >>> batch = next(iter(DataLoader(PairDataset(data, [(0, 3), (2, 1)]), batch_size=2)))
        >>> batch["source"][1].tolist(), batch["destination_index"].tolist()
        ([0, 2], [3, 1])
    """

    def __init__(self, dataset: Any, pairs: Sequence[tuple[int, int]]) -> None:
        self.dataset = dataset
        self.pairs = [(int(source), int(destination)) for source, destination in pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        source, destination = self.pairs[index]
        return {
            "source": self.dataset[source],
            "destination": self.dataset[destination],
            "source_index": source,
            "destination_index": destination,
        }


@dataclass(frozen=True, eq=False)
class PathEnds:
    """The sources of a batch of paths, and the destinations of horizontal paths."""

    sources: Examples
    destinations: Examples | None

    def finite_rows(self) -> list[int]:
        """Return the rows whose source and destination are finite."""
        finite = self.sources.inputs.isfinite().flatten(1).all(1)
        if self.destinations is not None:
            finite = finite & self.destinations.inputs.isfinite().flatten(1).all(1)
        return [int(row) for row in finite.nonzero()]

    def columns_of(self, row: int) -> dict[str, Any]:
        """Return the positions and labels of the ends of one path."""
        columns: dict[str, Any] = {}
        for name, ends in (("source", self.sources), ("destination", self.destinations)):
            if ends is not None:
                columns[f"{name}_index"] = None if ends.indices is None else ends.indices[row]
                columns[f"{name}_label"] = None if ends.labels is None else ends.labels[row]
        return columns


def read_starts(batch: Any, indices: list[int], reading: Reading) -> PathEnds:
    """Read the sources of orthogonal walks from a batch of examples."""
    examples = reading.examples(batch, indices)
    return PathEnds(replace(examples, indices=tuple(indices)), None)


def read_pairs(batch: Any, reading: Reading) -> PathEnds:
    """Read sources and destinations from a batch of pairs.

    Args:
        batch: The batch.
        reading: How to read each end of the pairs.

    Raises:
        LeafError: If the batch does not consist of pairs, or the shapes of the ends differ.
    """
    sources, destinations, others = split_pairs(batch)
    ends = []
    for name, part in (("source", sources), ("destination", destinations)):
        positions = others.get(f"{name}_index")
        indices = tuple(positions.tolist()) if isinstance(positions, Tensor) else None
        ends.append(replace(reading.examples(part, indices), indices=indices))
    if ends[0].inputs.shape != ends[1].inputs.shape:
        raise LeafError(
            "A batch of pairs expects sources and destinations of the same shape; got "
            f"{tuple(ends[0].inputs.shape)} and {tuple(ends[1].inputs.shape)}."
        )
    return PathEnds(*ends)


def split_pairs(batch: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Split a batch of pairs into sources, destinations and its other entries.

    Raises:
        LeafError: If the batch does not consist of pairs.
    """
    if isinstance(batch, Mapping) and {"source", "destination"} <= batch.keys():
        others = {name: batch[name] for name in batch if name not in ("source", "destination")}
        return batch["source"], batch["destination"], others
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1], {}
    raise LeafError(
        "PathPredictor with kind='horizontal' expects batches of pairs: tuples (source, "
        "destination), or mappings with these two keys; got "
        f"{type(batch).__name__}. Use PairDataset(dataset, [(source, destination), …])."
    )
