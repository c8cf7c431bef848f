"""Limits for tests: how many examples hypothesis draws, and how much work a block may do."""

from __future__ import annotations

import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import HealthCheck, settings

FACTOR: Final = int(os.environ.get("LEAF_EXAMPLES", "1"))
MAX_CALLS: Final = 20_000


def examples(count: int) -> settings:
    """Return hypothesis settings for ``count`` examples, the same in each run.

    With ``LEAF_EXAMPLES=n``, n times as many examples are drawn, and new ones in each run.
    """
    return settings(
        deadline=None,
        max_examples=FACTOR * count,
        derandomize=FACTOR == 1,
        suppress_health_check=list(HealthCheck),
    )


class Overlap:
    """Counts the threads that are in a block at the same time; each stays for a moment."""

    def __init__(self) -> None:
        self.most = 0
        self._active = 0
        self._guard = threading.Lock()

    def __enter__(self) -> None:
        with self._guard:
            self._active += 1
            self.most = max(self.most, self._active)
        threading.Event().wait(0.05)

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._active -= 1


@contextmanager
def limited_work(megabytes: float, calls: int = MAX_CALLS) -> Iterator[None]:
    """Check that the block allocates few megabytes and makes few function calls.

    Work is counted instead of timed, so that the result does not depend on the machine. Calls of
    Python functions and of C functions count; those of other threads do not.

    Args:
        megabytes: Maximum of the memory that the block holds at any time, in 2²⁰ bytes.
        calls: Maximum number of function calls.

    Raises:
        AssertionError: If the block exceeds a limit.
    """
    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < megabytes * 2**20, f"{peak / 2**20:.0f} MB"
    assert count < calls, f"{count} calls"
