"""Retry with smaller chunks after out-of-memory errors, instead of ending a training."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "alloc_failed")


class FittingChunks:
    """A chunk size that is halved after each out-of-memory error.

    Args:
        size: Initial number of inputs per forward pass.

    Attributes:
        size: Current number of inputs per forward pass.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, work: Callable[[int], T]) -> T:
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
            self.size //= 2
            gc.collect()
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports too little memory, on the CPU or an accelerator."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        message in text for message in OUT_OF_MEMORY_MESSAGES
    )
