"""Divide a data set into blocks, and assign the unmeasured blocks to processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_leaf.errors import LeafError, type_name


def blocks_of(length: int, size: int) -> list[range]:
    """Divide the positions of a data set into blocks. Each block is measured as one batch.

    The last digits of a model's output depend on the other inputs of the batch. The blocks, and
    therefore the table, do not depend on the number of processes or on interruptions.
    """
    return [range(start, min(start + size, length)) for start in range(0, length, size)]


class RemainingBlocks(DistributedSampler[Any]):
    """A sampler of the positions in some blocks: process k of n gets blocks k, k + n, k + 2n, ….

    It inherits from DistributedSampler, because Lightning replaces other samplers by its own, which
    distributes single positions and needs at least one position per process.

    Args:
        blocks: Blocks in ascending order. Only the last one may be shorter than the others, so
            that batches of the full size are exactly the blocks.
    """

    def __init__(self, blocks: Sequence[range]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[int]:
        for block in self._own_blocks():
            yield from block

    def __len__(self) -> int:
        return sum(map(len, self._own_blocks()))

    def _own_blocks(self) -> Sequence[range]:
        # Not in __init__: the loader is created before the processes are connected.
        if dist.is_available() and dist.is_initialized():
            return self.blocks[dist.get_rank() :: dist.get_world_size()]
        return self.blocks


def remaining_loader(loader: DataLoader[Any], measured: NDArray[np.int64]) -> DataLoader[Any]:
    """Return a loader of the blocks that are not measured yet, in the order of the data set.

    Args:
        loader: A loader of the whole data set.
        measured: The positions that are measured already.

    Raises:
        LeafError: If the loader has no batch size, or its data set no positions or no examples.
    """
    size = loader.batch_size
    if size is None or isinstance(loader.dataset, IterableDataset):
        received = "no batch_size" if size is None else "an IterableDataset"
        raise LeafError(
            "MeasurementWriter expects a DataLoader with a batch_size over a map-style data set "
            "with a length, because it skips positions that are measured already; got "
            f"{received}. Use DataLoader(dataset, batch_size=32)."
        )
    length = len(loader.dataset)  # type: ignore[arg-type]
    if length < 1:
        raise LeafError(
            "MeasurementWriter expects a data set with at least one example; got "
            f"{type_name(loader.dataset)} with {length}."
        )
    done = np.zeros(length, bool)
    done[measured[measured < length]] = True
    remaining = [
        block for block in blocks_of(length, size) if not done[block.start : block.stop].all()
    ]
    return DataLoader(
        loader.dataset,
        size,
        sampler=RemainingBlocks(remaining),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
