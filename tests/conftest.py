"""Fixtures and settings of all tests."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.pair import Pair

# The search for doctests reads attributes that raise errors there.
collect_ignore = ["support/hostile.py"]

# torch.compile would start a pool of processes, each of which imports torch, for small graphs.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has one core, on which the threads of torch would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells let programs in the background ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, which is then much faster."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Two processes that train together."""
    started = Pair()
    yield started
    started.close()
