"""The process that measures and writes in a loop with several processes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist

from lightning_leaf.errors import LeafError

SHARDED = ("FullyShardedDataParallel", "FSDPModule")
"""Classes of modules of which each process holds a part."""


def is_rank_zero() -> bool:
    """Return whether this is the only process or the first one of ``torch.distributed``."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def require_whole_module(model: Any) -> None:
    """Check that each process holds the whole module, because only the first one measures.

    Raises:
        LeafError: If the module is sharded.
    """
    names = [kind.__name__ for kind in type(model).__mro__]
    if sharded := next((name for name in names if name in SHARDED), None):
        raise LeafError(
            "LeafMonitor expects each process to hold the whole model, because only the first one "
            f"measures; {sharded} shards it. Use DDP, or a Lightning trainer with "
            "LocalDataMatrixMonitor, which supports FSDP2 (ModelParallelStrategy)."
        )
