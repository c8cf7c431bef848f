"""Processes that train together take the same decisions at the same step, and fail as one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.distributed import trainings, waiting
from tests.support.pair import Pair


def test_moments_are_the_same_on_all_ranks_once_and_after_a_resume(
    pair: Pair, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    zero, one = pair.run(trainings.moments, tmp_path / "first", saved, False)
    assert zero == one
    assert [moment for moment in zero if moment[1] == "trace_return"] == [(7, "trace_return")]
    assert [step for step, reason in zero if reason == "checkpoint"] == [3, 6, 9, 12]
    again = pair.run(trainings.moments, tmp_path / "second", saved, True)
    assert again == [zero, zero]  # the checkpoint of step 3 has its snapshot in the new log too


def test_rank_zero_decides_where_triggers_could_differ(pair: Pair, tmp_path: Path) -> None:
    assert pair.run(trainings.of_two_minds, tmp_path) == [[(2, "mine")], [(2, "mine")]]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        ("data", "LeafError: On rank 1: OSError: the disk is gone"),
        ("forward", "LeafError: On rank 1: RuntimeError: only for training"),
        ("logger", "OSError: no space left on device"),
        ("files", "NotADirectoryError"),
    ],
)
def test_an_error_on_one_rank_switches_off_all_at_once_and_the_training_goes_on(
    pair: Pair, tmp_path: Path, failure: str, cause: str
) -> None:
    zero, one = pair.run(trainings.failed, tmp_path, failure)
    assert zero["steps"] == one["steps"] == 8
    assert zero["off"] == one["off"] == [True] * len(zero["off"])
    # Rank zero tells it, once for each callback.
    assert len(zero["said"]) == len(zero["off"])
    assert all(cause in said for said in zero["said"])
    assert one["said"] == []


def test_all_processes_give_a_walk_up_when_they_are_told_to_end(pair: Pair, tmp_path: Path) -> None:
    for process in pair.run(trainings.terminated, tmp_path):
        assert not process["ended normally"]
        assert 60 <= process["forward passes"] < 100
        assert process["training"]


def test_processes_wait_for_each_other_for_longer_than_connecting_may_take(pair: Pair) -> None:
    assert pair.run(waiting.waited, timedelta(minutes=1)) == [[0, 1], [0, 1]]
    # Negative control: with less patience the first one gives up.
    gave_up, _ = pair.run(waiting.waited, timedelta(seconds=1))
    assert "Timed out" in gave_up or "timeout" in gave_up
