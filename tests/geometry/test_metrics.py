"""The metrics are means over inputs for every split over updates and processes."""

import pytest
import torch
from torchmetrics import MetricCollection

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    LocalDataMatrixEffectiveRank,
    LocalDataMatrixTrace,
    effective_rank,
)
from tests.support.cases import CASES


@pytest.fixture
def model_and_inputs():
    return CASES[1].make(0, batch=7)


def test_metrics_are_means_over_all_inputs(model_and_inputs):
    model, x = model_and_inputs
    g = LocalDataMatrix.at(model, x)
    metrics = MetricCollection([LocalDataMatrixTrace(), LocalDataMatrixEffectiveRank("stable")])
    for part in x.split(3):
        metrics.update(model, part)
    result = metrics.compute()
    rank = effective_rank(g.eigenvalues(), "stable").mean()
    assert result["LocalDataMatrixTrace"].item() == pytest.approx(g.trace().mean().item(), rel=1e-5)
    assert result["LocalDataMatrixEffectiveRank"].item() == pytest.approx(rank.item(), rel=1e-5)


def test_sums_reduce_over_processes(model_and_inputs):
    """The states of two processes, reduced as torchmetrics does, give the mean over all inputs."""
    model, x = model_and_inputs
    whole, first, second = (LocalDataMatrixTrace() for _ in range(3))
    whole.update(model, x)
    first.update(model, x[:2])
    second.update(model, x[2:])
    average = (first.compute() + second.compute()) / 2
    for name, reduction in first._reductions.items():
        stacked = torch.stack([getattr(first, name), getattr(second, name)])
        setattr(first, name, reduction(stacked))
    first._computed = None
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-5)
    assert average.item() != pytest.approx(whole.compute().item(), rel=1e-5)  # negative control


def test_a_metric_does_not_keep_the_model(model_and_inputs):
    model, x = model_and_inputs
    metric = LocalDataMatrixTrace()
    metric.update(model, x)
    assert list(metric.modules()) == [metric]
    metric.reset()
    assert metric.count == 0


def test_a_metric_can_be_plotted(model_and_inputs):
    model, x = model_and_inputs
    metric = LocalDataMatrixTrace()
    metric.update(model, x)
    figure, _ = metric.plot()
    assert figure.axes


def test_an_unknown_rank_raises_an_error():
    with pytest.raises(LeafError, match="'nuclear'"):
        LocalDataMatrixEffectiveRank("nuclear")
