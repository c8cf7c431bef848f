"""Which inputs are still to be measured, and which process measures them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_leaf.errors import LeafError


def blocks_of(length: int, size: int) -> list[range]:
    """The positions of a data set in blocks, each of which is always measured as one batch.

    A model's last digits depend on what else is in a batch. Blocks that depend neither on the
    number of processes nor on an interruption give the same table whatever happens.
    """
    return [range(start, min(start + size, length)) for start in range(0, length, size)]


class RemainingBlocks(DistributedSampler[Any]):
    """The positions in some blocks, every n-th block to each of n processes.

    It is a DistributedSampler so that Lightning leaves the sharing to it: that one shares out
    single positions, and wants at least one for each process.

    Args:
        blocks: In ascending order: only the last may be shorter than the others, so that batches
            of the full size are the blocks.
    """

    def __init__(self, blocks: Sequence[range]) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[int]:
        for block in self._share():
            yield from block

    def __len__(self) -> int:
        return sum(map(len, self._share()))

    def _share(self) -> Sequence[range]:
        # Asked late: a loader is made before the processes are connected.
        if dist.is_available() and dist.is_initialized():
            return self.blocks[dist.get_rank() :: dist.get_world_size()]
        return self.blocks


def remaining_loader(loader: DataLoader[Any], measured: NDArray[np.int64]) -> DataLoader[Any]:
    """A loader of the blocks of a data set that are not measured yet, in its order.

    Raises:
        LeafError: If the loader does not make batches of one size out of positions.
    """
    size = loader.batch_size
    if size is None or isinstance(loader.dataset, IterableDataset):
        what = "no batch_size" if size is None else "an IterableDataset"
        raise LeafError(
            "Measuring into a folder expects a DataLoader with a batch_size over a data set with "
            f"positions and a length, to know what is measured already; got {what}."
        )
    length = len(loader.dataset)  # type: ignore[arg-type]
    done = np.zeros(length, bool)
    done[measured[measured < length]] = True
    rest = [block for block in blocks_of(length, size) if not done[block.start : block.stop].all()]
    return DataLoader(
        loader.dataset,
        size,
        sampler=RemainingBlocks(rest),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
