from collections.abc import Iterator

import pytest

from tests.pair import Pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Two processes that train together."""
    started = Pair()
    yield started
    started.close()
