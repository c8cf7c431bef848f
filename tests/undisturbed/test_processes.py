"""With the callbacks a training of two processes ends bitwise where it ends without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pair import Pair
from tests.support.undisturbed import processes


@pytest.mark.parametrize("name", processes.TRAININGS)
def test_training_of_two_processes_is_bitwise_identical(
    pair: Pair, tmp_path: Path, name: str
) -> None:
    assert pair.run(processes.changed_by_ours, tmp_path, name) == [[], []]


def test_leaving_buffers_behind_would_be_noticed(pair: Pair, tmp_path: Path) -> None:
    """Negative control: rank one measures with the buffers of rank zero, and keeps its own."""
    zero, one = pair.run(processes.changed_by_leaving_buffers_behind, tmp_path)
    assert "/buffers/net.1.running_mean" in one
    assert "/buffers/calls" in zero + one
