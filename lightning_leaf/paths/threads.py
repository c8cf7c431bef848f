"""Fewer threads while other processes keep the processors busy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

USED_ALONE = 0.75
"""Share of its threads' time that a process computes if no other process needs the processors."""
GAIN = 0.9
"""Largest ratio of times at which fewer threads are kept."""
PATIENCE = 8
"""Blocks of work until another number of threads is tried again; doubled after each trial."""
LONGEST_PATIENCE = 64


class Threads:
    """The number of threads with which blocks of similar work are done fastest.

    The threads of an operation wait for the last of them. If other processes, such as the workers
    of data loaders, keep the processors busy, they wait for one that the system has suspended, and
    one thread alone is faster. If a block got less processor time than its threads could use, half
    as many are tried, and kept if they are faster. Results do not depend on it beyond rounding;
    deterministic algorithms always use all threads.

    Args:
        device: Where the work is done. On accelerators nothing changes.
    """

    def __init__(self, device: torch.device) -> None:
        self._most = self._count = torch.get_num_threads()
        self._adapts = (
            device.type == "cpu"
            and self._most > 1
            and not torch.are_deterministic_algorithms_enabled()
        )
        self._before: tuple[int, float] | None = None  # threads and time of work before a trial
        self._patience = PATIENCE
        self._blocks = 0  # until the next trial

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the number of threads afterwards."""
        try:
            yield
        finally:
            if self._count != self._most:
                torch.set_num_threads(self._most)

    @contextmanager
    def block(self, work: int) -> Iterator[None]:
        """Choose the threads for the next block, from the time that this one takes.

        Args:
            work: Amount of work in the block.
        """
        started, used = time.perf_counter(), time.process_time()
        yield
        if self._adapts:
            seconds = max(time.perf_counter() - started, 1e-9)
            used = (time.process_time() - used) / seconds
            self._choose(seconds / max(work, 1), used)

    def _choose(self, seconds: float, used: float) -> None:
        if self._before is not None:
            count, before = self._before
            self._before = None
            if seconds > GAIN * before:
                self._set(count)
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self._blocks = self._patience
        elif self._blocks:
            self._blocks -= 1
        elif self._count > 1 and used < USED_ALONE * self._count:
            self._try(self._count // 2, seconds)
        elif self._count < self._most:
            self._try(min(2 * self._count, self._most), seconds)

    def _try(self, count: int, seconds: float) -> None:
        self._before = self._count, seconds
        self._set(count)

    def _set(self, count: int) -> None:
        self._count = count
        torch.set_num_threads(count)
