"""The sub-modules of a model and their tensors, also of models that override such lists."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain

from torch import Tensor, nn


def parts_of(model: nn.Module) -> list[nn.Module]:
    """Return a module and all modules inside of it, each once."""
    found: dict[int, nn.Module] = {}
    pending = [model]
    while pending:
        part = pending.pop()
        if id(part) not in found:
            found[id(part)] = part
            pending += (child for child in part._modules.values() if child is not None)
    return list(found.values())


def parameters_of(parts: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters of these modules themselves, each once."""
    tensors = chain.from_iterable(part._parameters.values() for part in parts)
    return list({id(each): each for each in tensors if each is not None}.values())


def buffers_of(parts: Iterable[nn.Module]) -> list[Tensor]:
    """Return the buffers of these modules themselves, each once."""
    tensors = chain.from_iterable(part._buffers.values() for part in parts)
    return list({id(each): each for each in tensors if each is not None}.values())


def sharded_parts(parts: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the modules inside of fully sharded modules (FSDP), these included.

    They gather their parameters for their forward pass and shard them again themselves: another
    object under the same name is then no change.
    """
    fsdp = sys.modules.get("torch.distributed.fsdp")  # importing it takes a second
    names = "FSDPModule", "FullyShardedDataParallel"
    kinds = tuple(getattr(fsdp, name) for name in names if hasattr(fsdp, name))
    return [inner for part in parts if isinstance(part, kinds) for inner in parts_of(part)]
