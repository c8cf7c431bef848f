"""In a loop of two processes the first one measures, and the training stays the same."""

from __future__ import annotations

from pathlib import Path

from tests.support.callbacks.training import scalars, snapshots
from tests.support.loops.two_processes import train_with_ddp
from tests.support.pair import Pair


def test_first_process_of_ddp_measures_and_trainings_are_bitwise_the_same(
    pair: Pair, tmp_path: Path
) -> None:
    with_leaf = pair.run(train_with_ddp, tmp_path)
    without = pair.run(train_with_ddp, None)
    assert [steps for steps, *_ in with_leaf] == [[0, 2, 4], []]
    assert [result[1:] for result in with_leaf] == [result[1:] for result in without]
    assert scalars(tmp_path)["leaf/trace_mean"].keys() == {0, 2, 4}
    assert len(snapshots(tmp_path)) == 1
    assert len(list(tmp_path.glob("events*"))) == 1
    # Negative control: the processes have different batch-norm statistics and random streams.
    assert with_leaf[0][1:3] != with_leaf[1][1:3]
