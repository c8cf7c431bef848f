"""How many examples are tried, `LEAF_EXAMPLES` times as many, and how much they may take."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hypothesis import HealthCheck, settings

FACTOR: Final = int(os.environ.get("LEAF_EXAMPLES", "1"))


def examples(count: int) -> settings:
    """Try `count` examples, `LEAF_EXAMPLES` times as many, and new ones where it is set."""
    return settings(
        deadline=None,
        max_examples=FACTOR * count,
        derandomize=FACTOR == 1,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def few_megabytes(limit: float) -> Iterator[None]:
    """Fails if more than `limit` megabytes or five seconds are taken inside."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit * 2**20, f"{peak / 2**20:.0f} MB"
    assert time.monotonic() - started < 5
