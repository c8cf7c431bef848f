"""Go on in smaller chunks where memory runs out, instead of ending a training."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

SAYINGS = ("out of memory", "can't allocate memory", "alloc_failed")


class FittingChunks:
    """A chunk size that is halved whenever memory runs out, and stays so.

    Args:
        size: Inputs per forward pass to begin with.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, work: Callable[[int], T]) -> T:
        """``work(size)``, repeated with half the size while memory runs out.

        Raises:
            RuntimeError: What was said last, if memory does not even suffice for one input.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if self.size == 1 or not is_out_of_memory(error):
                    raise
            # Only now the traceback has let go of what the attempt had made.
            self.size //= 2
            gc.collect()
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on the CPU or an accelerator."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(saying in text for saying in SAYINGS)
