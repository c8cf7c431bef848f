"""Copies of many tensors on an accelerator, in few blocks.

To start a kernel takes longer than to copy most tensors, so a block is copied, and later compared,
by one kernel for up to 128 tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from lightning_leaf.model.dense_copies import (
    WHOLE_NUMBERS,
    DenseCopy,
    bits,
    has_memory,
    is_without_gaps,
    restore,
    restore_memory,
)
from lightning_leaf.model.memory import is_out_of_memory
from lightning_leaf.model.undo import run_all

LARGEST_BLOCK = 2**28
"""Number of bytes of a block, unless one tensor is larger."""


class BlockCopy:
    """A copy of some tensors, as one tensor of whole numbers.

    Args:
        tensors: Tensors on the same accelerator with elements of the same size, for all of which
            :func:`fits_in_block` is true.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        self._tensors = [(tensor, tensor.data) for tensor in tensors]
        self._views = [bits(_flat(tensor)) for tensor in tensors]
        self._numbers = torch.cat(self._views)

    def restore(self) -> None:
        """Restore the memory and the value of the tensors, also after errors."""
        if not self._is_unchanged():
            run_all([partial(restore, copy) for copy in self._copies() if has_memory(copy)])

    def _is_unchanged(self) -> bool:
        try:
            for copy in self._copies():
                if not has_memory(copy):
                    return False
                restore_memory(copy)
            return torch.equal(torch.cat(self._views), self._numbers)
        except Exception:  # such as too little memory: each tensor is then compared by itself
            return False

    def _copies(self) -> Iterator[DenseCopy]:
        first = 0
        for (tensor, data), view in zip(self._tensors, self._views, strict=True):
            numbers = self._numbers[first : first + len(view)].view(data.dtype)
            yield DenseCopy(tensor, data, numbers.as_strided(data.shape, data.stride()))
            first += len(view)


def fits_in_block(tensor: Tensor) -> bool:
    """Return whether a tensor that is one block of memory can be copied with others."""
    return (
        not tensor.is_cpu
        and tensor.element_size() in WHOLE_NUMBERS
        and not tensor.is_quantized
        and tensor.numel() > 0
        and is_without_gaps(tensor)
    )


def block_copies(tensors: Iterable[Tensor]) -> list[BlockCopy]:
    """Copy tensors on accelerators in blocks; none if their memory does not suffice."""
    groups: dict[tuple[torch.device, int], list[list[Tensor]]] = {}
    sizes: dict[tuple[torch.device, int], int] = {}
    for tensor in tensors:
        kind = (tensor.device, tensor.element_size())
        sizes[kind] = sizes.get(kind, 0) + tensor.nbytes
        if kind not in groups or sizes[kind] > LARGEST_BLOCK:
            groups.setdefault(kind, []).append([])
            sizes[kind] = tensor.nbytes
        groups[kind][-1].append(tensor)
    try:
        return [BlockCopy(block) for blocks in groups.values() for block in blocks]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return []


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().as_strided((tensor.numel(),), (1,))
