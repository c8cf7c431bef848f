"""Find the modules whose parameters are managed by a sharding strategy."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch import nn


def unsharded_parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the sub-modules whose parameters belong to no fully sharded module (FSDP).

    A fully sharded module gathers the parameters of all modules inside of it for its forward
    pass and shards them again itself: another object under the same name is then no change.
    """
    kinds = _fully_sharded()
    sharded = {
        id(inner)
        for part in (module.modules() if kinds else ())
        if isinstance(part, kinds)
        for inner in part.modules()
    }
    return (part for part in module.modules() if id(part) not in sharded)


def _fully_sharded() -> tuple[type, ...]:
    fsdp = sys.modules.get("torch.distributed.fsdp")  # importing it takes a second
    names = "FSDPModule", "FullyShardedDataParallel"
    return tuple(getattr(fsdp, name) for name in names if hasattr(fsdp, name))
