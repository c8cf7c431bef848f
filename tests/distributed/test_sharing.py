"""Two processes share a measurement and get the results of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.distributed import trainings
from tests.support.pair import Pair


@pytest.fixture(scope="module")
def measured(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The measurements of each process in one training."""
    return pair.run(trainings.measured, tmp_path_factory.mktemp("measured"))


def test_two_processes_measure_the_same_as_one(measured: list[Any]) -> None:
    zero, one = measured
    assert zero["history"] == one["history"]
    assert zero["history"]["step"] == [0, 3, 6, 8]
    for step, trace in zip((0, 3, 6), zero["history"]["trace_mean"], strict=False):
        assert trace == pytest.approx(zero["as one process"][step], rel=1e-5)


def test_all_processes_measure_with_the_buffers_of_rank_zero_and_keep_their_own(
    measured: list[Any],
) -> None:
    zero, one = measured
    # Each process trains on its own half of the data, so the batch-norm statistics differ …
    assert zero["running means"][3] != one["running means"][3]
    # … and with them the traces that each process measures alone.
    traces = [each["as one process"][3] for each in (zero, one)]
    assert traces[0] != pytest.approx(traces[1], rel=1e-4)


def test_paths_are_shared_out_and_gathered_in_order(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(trainings.with_paths, tmp_path)
    assert one["snapshots"] == [None, None, None]
    for snapshot, expected in zip(zero["snapshots"], zero["expected"], strict=True):
        for record, single in zip(snapshot.paths, expected, strict=True):
            end = single.log_probs[-1].exp().numpy()
            assert record.probabilities[-1] == pytest.approx(end, abs=1e-5)
            assert record.final_distance == pytest.approx(float(single.distance[-1]), rel=1e-4)
    # Of three paths rank zero computes two and rank one computes one.
    assert 1.5 * one["inputs"] < zero["inputs"] < 2.5 * one["inputs"]


def test_a_process_that_runs_out_of_memory_continues_with_smaller_chunks(
    pair: Pair, tmp_path: Path
) -> None:
    zero, one = pair.run(trainings.out_of_memory, tmp_path)
    assert (zero["chunk"], one["chunk"]) == (None, 2)
    assert zero["history"] == one["history"]
    assert zero["history"][:2] == pytest.approx(
        [zero["as one process"][step] for step in (0, 4)], rel=1e-5
    )
    assert np.isfinite(zero["history"]).all()


def test_a_sharded_module_is_measured_like_the_whole_module(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(trainings.sharded, tmp_path)
    assert zero["trace"] == one["trace"]
    assert zero["trace"][-1] == pytest.approx(zero["last trace"], rel=1e-4)
    for snapshot, expected in zip(zero["snapshots"], zero["expected"], strict=True):
        for record, single in zip(snapshot.paths, expected, strict=True):
            assert record.final_distance == pytest.approx(float(single.distance[-1]), rel=1e-3)
