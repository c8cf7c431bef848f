"""Copies of tensors that are one block of memory, and how to write them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_leaf.model.memory import available_bytes, is_out_of_memory
from lightning_leaf.model.undo import Step, run_all

HOST = torch.device("cpu")

WHOLE_NUMBERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

SHARE = 4
"""Copies stay on an accelerator if its available memory is at least this many times as large."""
SMALL = 2**24
"""Number of bytes of copies that stay on an accelerator without asking for its memory."""
PIECE = 2**25
"""Number of bytes of a tensor that are compared or written at once."""


class DenseCopy(NamedTuple):
    """The value and the memory of a tensor.

    Attributes:
        tensor: The tensor itself.
        data: Another tensor with the same memory.
        value: A copy of its numbers.
    """

    tensor: Tensor
    data: Tensor
    value: Tensor


def cheapest_place(tensors: Iterable[Tensor]) -> torch.device | None:
    """Return where copies of tensors are kept at least cost to a training.

    Making and comparing the copies of 100 million float32 weights (0.4 GB) takes 0.18 s on one core
    of a Xeon. For weights on a GPU it moves 0.8 GB over PCI Express if the copies are on the host,
    at least 32 ms at 25 GB/s, and 2.5 GB of its own memory otherwise, 0.7 ms at 3.35 TB/s. Times of
    GPUs are computed, not measured.

    Returns:
        None for the device of each tensor, if that has enough memory for the copies; else the host.
    """
    sizes: dict[torch.device, int] = {}
    for tensor in tensors:
        device = tensor.device
        if device.type not in ("cpu", "meta") and tensor.layout is torch.strided:
            sizes[device] = sizes.get(device, 0) + tensor.nbytes
    for device, size in sizes.items():
        available = available_bytes(device) if size > SMALL else SHARE * size
        if available is None or available < SHARE * size:
            return HOST
    return None


def dense_copy(tensor: Tensor, kept_on: torch.device | None) -> DenseCopy:
    """Copy a tensor that is one block of memory.

    Args:
        tensor: The tensor.
        kept_on: Device of the copy; None for that of the tensor, or for the host if its memory
            does not suffice.
    """
    try:
        value = tensor.detach().to(kept_on or tensor.device, copy=True)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        value = tensor.detach().to(HOST, copy=True)
    return DenseCopy(tensor, tensor.data, value)


def restore_all(copies: Iterable[DenseCopy]) -> None:
    """Restore the memory and the value of all tensors, also after errors.

    An unchanged tensor is not written: this could invalidate a graph that still needs it. If the
    memory of an accelerator does not suffice to compare, tensors are compared on the host.
    """
    steps: list[Step] = []
    on_devices: dict[torch.device, list[DenseCopy]] = {}
    for copy in copies:
        if not has_memory(copy):
            continue
        if copy.data.is_cpu:
            steps.append(partial(restore, copy))
        else:
            on_devices.setdefault(copy.data.device, []).append(copy)
    run_all([*steps, *(partial(_restore_on_device, group) for group in on_devices.values())])


def _restore_on_device(copies: Sequence[DenseCopy]) -> None:
    """Restore the tensors on one accelerator, which are compared there: the host waits once."""
    try:
        for copy in copies:
            restore_memory(copy)
        changed = _changed(copies)
    except Exception:
        changed = list(copies)
    run_all([partial(restore, copy) for copy in changed])


def _changed(copies: Iterable[DenseCopy]) -> list[DenseCopy]:
    pieces = [(copy, *views) for copy in copies for views in _pieces(copy)]
    differ = [(bits(now) != bits(before.to(now.device))).any() for _, now, before in pieces]
    flags = torch.stack(differ).tolist()
    changed = {id(copy): copy for (copy, *_), flag in zip(pieces, flags, strict=True) if flag}
    return list(changed.values())


def restore(copy: DenseCopy) -> None:
    """Restore the memory and the value of a tensor."""
    restore_memory(copy)
    try:
        if not _equal(copy.tensor, copy.value.to(copy.tensor.device)):
            write(copy.tensor, copy.value)
    except Exception:
        run_all([partial(_restore_piece, *each) for each in _pieces(copy)])


def has_memory(copy: DenseCopy) -> bool:
    """Return whether the memory still exists; that of sharded parameters may not."""
    return copy.data.untyped_storage().nbytes() > 0


def restore_memory(copy: DenseCopy) -> None:
    """Let a tensor use its memory again, after an assignment to its ``data``."""
    if not _same_memory(copy.tensor, copy.data):
        copy.tensor.data = copy.data


def _same_memory(a: Tensor, b: Tensor) -> bool:
    forms = [(t.data_ptr(), t.dtype, t.shape, t.stride()) for t in (a, b)]
    return forms[0] == forms[1]


def _restore_piece(now: Tensor, before: Tensor) -> None:
    """Compare and write through the host, without new memory of an accelerator."""
    before = before.to(HOST)
    if not _equal(now.to(HOST), before):
        write(now, before)


def _pieces(copy: DenseCopy) -> list[tuple[Tensor, Tensor]]:
    """Return views of a tensor of at most 32 MiB each, and of its copy; one view if it has gaps."""
    both = copy.tensor.detach(), copy.value
    small = copy.tensor.nbytes <= PIECE or copy.tensor.is_quantized
    if small or both[0].stride() != both[1].stride() or not is_without_gaps(copy.tensor):
        return [both]
    length = PIECE // copy.tensor.element_size()
    flat = (torch.split(each.as_strided((each.numel(),), (1,)), length) for each in both)
    return list(zip(*flat, strict=True))


def is_without_gaps(tensor: Tensor) -> bool:
    """Return whether a tensor has each number of its memory once, in any order of its axes."""
    expected = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(bits(a), bits(b))


def bits(tensor: Tensor) -> Tensor:
    """Return the same memory as whole numbers: NaN equals NaN, and −0 differs from 0."""
    whole = WHOLE_NUMBERS.get(tensor.element_size())
    return tensor if whole is None or tensor.is_quantized else tensor.detach().view(whole)


def write(tensor: Tensor, value: Tensor) -> None:
    """Write the numbers of a tensor into another, which may have been made in inference mode."""
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        if tensor.layout is torch.strided and not tensor.is_nested:
            for axis, stride in enumerate(tensor.stride()):  # expanded axes share their memory
                if stride == 0 and tensor.shape[axis] > 1:
                    tensor, value = tensor.narrow(axis, 0, 1), value.narrow(axis, 0, 1)
        tensor.copy_(value)
