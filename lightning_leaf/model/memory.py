"""Memory of accelerators: its size, and smaller chunks after out-of-memory errors."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import TypeVar

import torch

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import message_of
from lightning_leaf.model.accelerators import device_module, modules_in_use

T = TypeVar("T")

OUT_OF_MEMORY = re.compile(
    # Allocators, drivers, and the statuses of libraries.
    r"out[ _]?of[ _]?((device|host)_)?memory|out_of_resources|not enough memory|bad_alloc"
    r"|(can't|cannot) allocate|alloc(ation)?_?failed|not available to allocate"
    r"|invalid buffer size"
    # Libraries whose handle finds no memory name other reasons.
    r"|when calling `?\w+create\(|cudnn_status_not_initialized"
    # cuDNN found no algorithm whose workspace fits.
    r"|unable to find (a valid cudnn algorithm|an engine)",
    re.IGNORECASE,
)
"""What errors about too little memory say. PyTorch raises most of them as RuntimeError."""

FIRST_SIZE = 16
"""Inputs per forward pass after the chunk size that was chosen automatically did not fit."""


class FittingChunks:
    """A chunk size that is halved after each out-of-memory error.

    Args:
        size: Initial number of inputs per forward pass; None for a size that the work chooses
            itself, by the device and its memory.

    Raises:
        LeafError: If the size is not a positive whole number.

    Attributes:
        size: Current number of inputs per forward pass. None becomes 16 after the first error.
    """

    def __init__(self, size: int | None) -> None:
        self.size = None if size is None else whole_number(size, "chunk_size")

    def run(self, work: Callable[[int | None], T]) -> T:
        """Return ``work(size)``. After an out-of-memory error, retry with half the size.

        Raises:
            RuntimeError: The last out-of-memory error, if memory does not suffice for one input.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if self.size == 1 or not is_out_of_memory(error):
                    raise
            # Outside of the handler: the traceback keeps the tensors of the attempt alive.
            self.size = FIRST_SIZE if self.size is None else self.size // 2
            gc.collect()
            empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports too little memory, on the CPU or an accelerator."""
    # isinstance would run code of the error.
    by_type = issubclass(type(error), (MemoryError, torch.OutOfMemoryError))
    return by_type or OUT_OF_MEMORY.search(message_of(error)) is not None


def empty_cache() -> None:
    """Release the unused memory that the allocators of accelerators keep."""
    for module in modules_in_use():
        if hasattr(module, "empty_cache"):
            module.empty_cache()


def allocated_bytes(device: torch.device | None) -> int | None:
    """Return the size of all tensors on a device, from the counter that the host keeps.

    Reading it does not wait for the device.

    Args:
        device: A device; None for that of a function without tensors.

    Returns:
        The number of bytes; None for the CPU, and where it is unknown.
    """
    module = device_module(device)
    if hasattr(module, "current_allocated_memory"):  # MPS
        return _bytes(module.current_allocated_memory)
    return _bytes(lambda: module.memory_allocated(device))


def available_bytes(device: torch.device | None) -> int | None:
    """Return how much memory new tensors on a device can take.

    It is the free memory of the device, and what the allocator keeps for later.

    Args:
        device: A device; None for that of a function without tensors.

    Returns:
        The number of bytes; None for the CPU, and where it is unknown.
    """
    module = device_module(device)
    if hasattr(module, "recommended_max_memory"):  # MPS
        return _bytes(lambda: module.recommended_max_memory() - module.current_allocated_memory())

    def free_and_kept() -> int:
        kept = module.memory_reserved(device) - module.memory_allocated(device)
        return module.mem_get_info(device)[0] + kept  # type: ignore[no-any-return]

    return _bytes(free_and_kept)


def _bytes(read: Callable[[], int]) -> int | None:
    """Return what an accelerator's module answers; None if it cannot tell."""
    try:
        return max(0, int(read()))
    except (AttributeError, TypeError, RuntimeError, NotImplementedError):
        return None
