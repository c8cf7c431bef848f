"""A metric over two processes equals the metric over all of their data."""

from __future__ import annotations

import pytest
import torch

from lightning_leaf import LocalDataMatrix, effective_rank
from tests.support.distributed import metrics
from tests.support.pair import Pair


def test_the_result_over_two_processes_equals_that_over_all_data(pair: Pair) -> None:
    zero, one = pair.run(metrics.over_two_processes)
    g = LocalDataMatrix.at(metrics.classifier(), torch.cat(metrics.batches()))
    doubled = LocalDataMatrix.at(metrics.classifier(), 2 * torch.cat(metrics.batches()))
    expected = {
        "trace": g.trace().mean().item(),
        "rank": effective_rank(g.eigenvalues(), kind="stable").mean().item(),
    }
    for process in (zero, one):
        assert process["collection"] == pytest.approx(expected, rel=1e-6)
        traces = [expected["trace"], doubled.trace().mean().item()]
        assert process["tracker"] == pytest.approx(traces, rel=1e-6)
    # Negative control: the results of the single processes differ.
    assert zero["own batch"] != pytest.approx(one["own batch"], rel=1e-3)
