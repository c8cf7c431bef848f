"""A training of two processes is bitwise identical with and without the callbacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pair import Pair
from tests.support.undisturbed import processes


@pytest.mark.parametrize("name", processes.TRAININGS)
def test_training_of_two_processes_is_bitwise_identical(
    pair: Pair, tmp_path: Path, name: str
) -> None:
    assert pair.run(processes.changed_by_leaf_callbacks, tmp_path, name) == [[], []]


def test_buffers_of_rank_zero_must_be_replaced_after_measuring(pair: Pair, tmp_path: Path) -> None:
    """Negative control: otherwise rank one continues to train with the buffers of rank zero."""
    zero, one = pair.run(processes.changed_by_keeping_buffers_of_rank_zero, tmp_path)
    assert "/buffers/net.1.running_mean" in one
    assert "/buffers/calls" in zero + one
