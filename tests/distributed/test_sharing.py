"""Processes that train together share the measuring, and get what one process would get."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.distributed import trainings
from tests.support.pair import Pair


def test_two_processes_measure_what_one_measures(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(trainings.measured, tmp_path)
    assert zero["history"] == one["history"]
    assert zero["history"]["step"] == [0, 3, 6, 8]
    for step, trace in zip((0, 3, 6), zero["history"]["trace_mean"], strict=False):
        assert trace == pytest.approx(zero["as one process"][step], rel=1e-5)


def test_the_buffers_of_rank_zero_are_measured_and_those_of_the_others_are_left(
    pair: Pair, tmp_path: Path
) -> None:
    zero, one = pair.run(trainings.measured, tmp_path)
    # Each process has seen its own half of the data, so their batch-norms differ …
    assert zero["running means"][3] != one["running means"][3]
    # … and so would the values.
    traces = [each["as one process"][3] for each in (zero, one)]
    assert traces[0] != pytest.approx(traces[1], rel=1e-4)


def test_paths_are_split_and_gathered_in_order(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(trainings.walked, tmp_path)
    assert one["taken"] == [None, None]
    for snapshot, expected in zip(zero["taken"], zero["expected"], strict=True):
        for record, single in zip(snapshot.paths, expected, strict=True):
            end = single.log_probs[-1].exp().numpy()
            assert record.probabilities[-1] == pytest.approx(end, abs=1e-5)
            assert record.final_distance == pytest.approx(float(single.distance[-1]), rel=1e-4)
    # Of three paths rank zero walked two and the other one.
    assert 1.5 * one["inputs"] < zero["inputs"] < 2.5 * one["inputs"]


def test_a_process_that_is_short_of_memory_goes_on_in_smaller_chunks(
    pair: Pair, tmp_path: Path
) -> None:
    zero, one = pair.run(trainings.short_of_memory, tmp_path)
    assert (zero["chunk"], one["chunk"]) == (32, 2)
    assert zero["history"] == one["history"]
    assert zero["history"][:2] == pytest.approx(
        [zero["as one process"][step] for step in (0, 4)], rel=1e-5
    )
    assert np.isfinite(zero["history"]).all()


def test_a_sharded_module_is_measured_like_the_whole_one(pair: Pair, tmp_path: Path) -> None:
    zero, one = pair.run(trainings.sharded, tmp_path)
    assert zero["trace"] == one["trace"]
    assert zero["trace"][-1] == pytest.approx(zero["last trace"], rel=1e-4)
    for record, single in zip(zero["taken"].paths, zero["expected"], strict=True):
        assert record.final_distance == pytest.approx(float(single.distance[-1]), rel=1e-4)
