"""What all tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.support.pair import Pair

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers have a core each. Torch's threads wait for each other where they have to share one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Two processes that train together."""
    started = Pair()
    yield started
    started.close()
