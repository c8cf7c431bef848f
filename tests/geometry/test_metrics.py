"""The metrics are means over inputs for every split over updates, processes and collections."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    LocalDataMatrixEffectiveRank,
    LocalDataMatrixTrace,
    effective_rank,
    local_geometry,
)
from tests.support import oracle
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
    first.merge_state(second)
    first._computed = None
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-5)
    assert average.item() != pytest.approx(whole.compute().item(), rel=1e-5)  # negative control


def test_a_metric_keeps_neither_the_model_nor_a_forward_module(model_and_inputs):
    model, x = model_and_inputs
    metric = LocalDataMatrixTrace(forward=_Doubled())
    metric.update(model, x)
    assert list(metric.modules()) == [metric]
    assert metric.compute() > 0
    metric.reset()
    assert all(state == 0 for state in metric.metric_state.values())


def test_a_metric_can_be_plotted(model_and_inputs):
    model, x = model_and_inputs
    metric = LocalDataMatrixTrace()
    metric.update(model, x)
    figure, _ = metric.plot()
    assert figure.axes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LocalDataMatrixEffectiveRank("nuclear"), "'nuclear'"),
        (lambda: LocalDataMatrixTrace(likelihood="gaussian"), "likelihood expects.*'gaussian'"),
        (lambda: LocalDataMatrixTrace(chunk_size=0), "chunk_size expects.*got 0"),
    ],
)
def test_unknown_arguments_raise_an_error(make, message):
    with pytest.raises(LeafError, match=message):
        make()


class _Doubled(nn.Module):
    """A function for ``forward=``: twice the scores."""

    def forward(self, model: nn.Module, x: Tensor) -> Tensor:
        return 2 * model(x)


def _function(factor: float):
    return lambda model, x: factor * model(x)


def collected() -> dict[str, Metric]:
    """Metrics whose states are all zero where G = 0, some of which share a class or a function."""
    return {
        "trace": LocalDataMatrixTrace(),
        "entropy": LocalDataMatrixEffectiveRank(),
        "stable": LocalDataMatrixEffectiveRank("stable"),
        "labels": LocalDataMatrixTrace(likelihood="bernoulli"),
        "one by one": LocalDataMatrixTrace(chunk_size=1),
        "named": LocalDataMatrixTrace(forward="net"),
        "doubled": LocalDataMatrixTrace(forward=_function(2.0)),
        "tripled": LocalDataMatrixTrace(forward=_function(3.0)),
        "module": LocalDataMatrixTrace(forward=_Doubled()),
    }


class _Model(nn.Module):
    """A classifier whose method ``net`` returns other scores than its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Linear(12, 8), nn.Linear(8, 4)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x).tanh())

    def net(self, x: Tensor) -> Tensor:
        return 0.5 * self(x)


def expected(model: nn.Module, x: Tensor) -> dict[str, float]:
    """Return the value of every metric in :func:`collected`, from the float64 oracle."""
    exact, x = copy.deepcopy(model).double(), x.double()

    def trace(factor: float = 1.0, likelihood: str = "categorical") -> float:
        dense = oracle.data_matrix(lambda x: factor * exact(x), x, likelihood)
        return float(dense.diagonal(dim1=1, dim2=2).sum(1).mean())

    spectrum = torch.linalg.eigvalsh(oracle.data_matrix(exact, x)).clamp_min(0)
    share = spectrum / spectrum.sum(1, keepdim=True)
    return {
        "trace": trace(),
        "entropy": float(torch.special.entr(share).sum(1).exp().mean()),
        "stable": float((spectrum.sum(1) / spectrum.amax(1)).mean()),
        "labels": trace(likelihood="bernoulli"),
        "one by one": trace(),
        "named": trace(0.5),
        "doubled": trace(2.0),
        "tripled": trace(3.0),
        "module": trace(2.0),
    }


@pytest.fixture
def merged_if_possible():
    """A collection after an epoch in which all states were equal, the trained model, inputs."""
    torch.manual_seed(0)
    model, x = _Model(), torch.rand(5, 12)
    together = MetricCollection(collected())
    together.update(model, x)
    assert all(value == 0 for value in together.compute().values())  # G = 0
    nn.init.normal_(model.last.weight)
    return together, model, x


def test_metrics_of_a_collection_are_never_merged(merged_if_possible):
    together, model, x = merged_if_possible
    right = expected(model, x)
    clone = together.clone(prefix="cloned ")
    for collection, prefix in ((together, ""), (clone, "cloned ")):
        collection.reset()
        for part in x.split(2):
            collection.update(model, part)
        values = {name: value.item() for name, value in collection.compute().items()}
        assert values == pytest.approx({prefix + name: v for name, v in right.items()}, rel=1e-4)
        assert len(collection.compute_groups) == len(right)
    assert len(set(right.values())) == len(right) - 2  # two pairs are equal by definition


class _Plain(Metric):
    """A metric with the same states as ours in the first released version."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, model: nn.Module, x: Tensor) -> None:
        geometry = local_geometry(model, x)
        self.total += self.factor * geometry.trace.sum()
        self.count += len(x)

    def compute(self) -> Tensor:
        return self.total / self.count


def test_metrics_with_the_same_names_of_states_are_merged():
    """Negative control: why names of states contain the class and its arguments."""
    torch.manual_seed(0)
    model, x = _Model(), torch.rand(5, 12)
    together = MetricCollection({"one": _Plain(1.0), "two": _Plain(2.0)})
    together.update(model, x)
    together.reset()
    nn.init.normal_(model.last.weight)
    together.update(model, x)
    values = together.compute()
    assert values["one"] == values["two"] > 0


def test_state_dicts_have_the_same_keys_for_all_arguments(merged_if_possible):
    """Also those of earlier versions, in which every state was named total and count."""
    together, model, x = merged_if_possible
    together.persistent(True)
    together.reset()
    together.update(model, x)
    saved = together.state_dict()
    assert set(saved) == {f"{name}.{key}" for name in collected() for key in ("total", "count")}
    resumed = MetricCollection(collected())
    resumed.load_state_dict(saved)
    resumed.update(model, x + 1)
    values = {name: value.item() for name, value in resumed.compute().items()}
    both = torch.cat([x, x + 1])
    assert values == pytest.approx(expected(model, both), rel=1e-4)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*trace\.sum"):  # negative control
        resumed.load_state_dict({"trace.sum": torch.zeros(())})
