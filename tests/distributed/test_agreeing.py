"""All processes of a training take the same decisions at the same step, and fail together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.distributed as dist

from lightning_leaf.trainer import processes
from tests.support.distributed import intervals, trainings, waiting
from tests.support.pair import Pair


def test_snapshots_are_taken_at_the_same_steps_on_all_ranks_also_after_a_resume(
    pair: Pair, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    zero, one = pair.run(trainings.snapshots_taken, tmp_path / "first", saved, False)
    assert zero == one
    assert [taken for taken in zero if taken[1] == "trace_return"] == [(7, "trace_return")]
    assert [step for step, reason in zero if reason == "checkpoint"] == [3, 6, 9, 12]
    again = pair.run(trainings.snapshots_taken, tmp_path / "second", saved, True)
    assert again == [zero, zero]  # the new log contains a snapshot of the checkpoint of step 3 too


def test_rank_zero_decides_if_triggers_differ_between_ranks(pair: Pair, tmp_path: Path) -> None:
    assert pair.run(trainings.disagreeing, tmp_path) == [[(2, "on one rank")], [(2, "on one rank")]]


def test_the_interval_is_chosen_by_the_time_of_rank_zero(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(intervals.measured, tmp_path)
    assert zero["interval"] == one["interval"] == 63  # 10 ms / 10 ms / 0.016 = 62.5
    assert zero["steps"] == one["steps"] == [0, 16, 20]
    # Negative control: by its own time, rank one would choose another interval.
    assert (zero["alone"], one["alone"]) == (63, 9)  # 10 ms / 70 ms / 0.016 = 8.9


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (
            "data",
            "On rank 1: LeafError: Reading examples for example 44 of the data set raised OSE",
        ),
        ("forward", "LeafError: On rank 1: RuntimeError: only in training mode"),
        ("exit", "raised SystemExit(3). Raise another exception there"),
        ("logger", "OSError: no space left on device"),
        ("files", "NotADirectoryError"),
    ],
)
def test_an_error_on_one_rank_switches_off_all_ranks_and_training_continues(
    pair: Pair, tmp_path: Path, failure: str, cause: str
) -> None:
    zero, one = pair.run(trainings.failed, tmp_path, failure)
    assert zero["steps"] == one["steps"] == 8
    assert zero["off"] == one["off"] == [True] * len(zero["off"])
    # Rank zero warns once for all callbacks.
    (warning,) = zero["warnings"]
    assert cause in warning
    assert one["warnings"] == []


def test_all_processes_stop_a_path_after_sigterm(pair: Pair, tmp_path: Path) -> None:
    for process in pair.run(trainings.terminated, tmp_path):
        assert not process["ended normally"]
        assert 60 <= process["forward passes"] < 100
        assert process["training"]


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "sharded"])
def test_paths_end_on_all_processes_at_the_time_limit_or_after_ctrl_c(
    pair: Pair, tmp_path: Path, sharded: bool
) -> None:
    zero, one = pair.run(trainings.limited, tmp_path, sharded)
    assert (zero["state"], one["state"]) == ("finished", "finished")
    assert zero["statuses"] == ["out_of_time"] * 3
    assert all(steps > 0 for steps in zero["steps"])
    if not sharded:
        # Ctrl-C on rank zero, which computes paths 0 and 2, ends only these before the limit.
        assert zero["steps"][0] == zero["steps"][2] < 30 < zero["steps"][1]


def test_processes_wait_for_each_other_longer_than_for_a_connection(
    pair: Pair, tmp_path: Path
) -> None:
    assert dist.default_pg_timeout < processes.TIMEOUT
    assert pair.run(waiting.late_process, tmp_path) == [[0, 1], [0, 1]]
    # Negative control: with another TIMEOUT rank zero stops waiting, so TIMEOUT is in effect.
    error, _ = pair.run(waiting.timed_out_process, tmp_path)
    assert "Timed out" in error or "timeout" in error


def test_all_ranks_use_the_session_of_rank_zero(pair: Pair, tmp_path: Path) -> None:
    """Also if rank zero alone cannot read the folder of the logs."""
    zero, one = pair.run(trainings.sessions, tmp_path)
    assert zero == one
    assert len(zero["session"]) == 16
    assert zero["measured"] == [0, 4, 6]
