"""Undo writes to tensors of any layout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lightning_leaf.model.block_copies import block_copies, fits_in_block
from lightning_leaf.model.dense_copies import dense_copy, restore_all, write
from lightning_leaf.model.undo import Step, run_all

COMPRESSED_ROWS = torch.sparse_csr, torch.sparse_bsr
COMPRESSED_COLUMNS = torch.sparse_csc, torch.sparse_bsc

UNINITIALIZED = UninitializedParameter, UninitializedBuffer


@contextmanager
def unchanged_tensors(
    tensors: Iterable[Tensor], kept_on: torch.device | None = None
) -> Iterator[None]:
    """Undo writes to tensors and assignments to their ``data``.

    Left out are tensors without memory of their own (meta, uninitialized), those of opaque layouts
    (MKL-DNN), and sharded tensors.

    Args:
        tensors: The tensors.
        kept_on: Device of the copies; None for that of each tensor.
    """
    dense: list[Tensor] = []
    together: list[Tensor] = []
    steps: list[Step] = []
    for tensor in tensors:
        if _is_plain(tensor) or _is_dense(tensor):
            (together if kept_on is None and fits_in_block(tensor) else dense).append(tensor)
        elif (step := _restoring(tensor)) is not None:
            steps.append(step)
    blocks = block_copies(together)
    copies = [dense_copy(each, kept_on) for each in (dense if blocks else dense + together)]
    try:
        yield
    finally:
        run_all([partial(restore_all, copies), *(block.restore for block in blocks), *steps])


def _restoring(tensor: Tensor) -> Step | None:
    if isinstance(tensor, UNINITIALIZED) or _is_distributed(tensor):
        return None
    try:
        return partial(_restore, tensor, tensor.detach().clone()) if _parts(tensor) else None
    except (NotImplementedError, RuntimeError, TypeError):
        return None  # a subclass that cannot be copied


def _is_distributed(tensor: Tensor) -> bool:
    distributed = sys.modules.get("torch.distributed.tensor")  # importing it takes a second
    return distributed is not None and isinstance(tensor, distributed.DTensor)


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is no subclass and strided, like almost all."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_meta
        and not _is_lazy_view(tensor)
    )


def _is_dense(tensor: Tensor) -> bool:
    """Return whether a subclass is one block of memory."""
    if isinstance(tensor, UNINITIALIZED) or _is_distributed(tensor):
        return False
    return (
        tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_meta
        and not hasattr(tensor, "__tensor_flatten__")
        and not _is_lazy_view(tensor)
    )


def _is_lazy_view(tensor: Tensor) -> bool:
    """Return whether the numbers are not those in memory: a lazy conjugate or negative."""
    return tensor.is_conj() or tensor.is_neg()


def _restore(tensor: Tensor, copy: Tensor) -> None:
    now, before = _parts(tensor), _parts(copy)
    if len(now) != len(before) or not all(map(torch.equal, now, before)):
        write(tensor, copy)


def _parts(tensor: Tensor) -> list[Tensor]:
    """Return the dense tensors of which a tensor consists."""
    tensor = tensor.detach()
    if tensor.is_meta:
        return []
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return [part for name in names for part in _parts(getattr(tensor, name))]
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in COMPRESSED_ROWS:
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in COMPRESSED_COLUMNS:
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    if tensor.is_nested:
        return [tensor.values()]
    return [tensor] if tensor.layout == torch.strided else []
