"""local_geometry streams any number of inputs and classes, and tells what is not finite."""

import pytest
import torch
from torch import nn

import lightning_leaf
from lightning_leaf import LeafError, LocalDataMatrix, effective_rank, local_geometry
from tests.support import many_classes
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_it_tells_what_the_matrices_tell(case, chunk_size):
    model, x = case.make(SEED)
    g = LocalDataMatrix.at(model, x)
    found = local_geometry(model, x, ranks=["entropy", "stable"], chunk_size=chunk_size)
    assert found.exact
    assert (found.standard_error == 0).all()
    assert torch.allclose(found.trace, g.trace(), rtol=1e-4)
    count = min(8, case.classes)
    assert torch.allclose(found.eigenvalues, g.eigenvalues()[:, :count], rtol=1e-4, atol=1e-9)
    assert torch.allclose(found.tangent_dimension, g.tangent_dimension().double())
    for kind in ("entropy", "stable"):
        expected = effective_rank(g.eigenvalues(), kind)
        assert torch.allclose(found.effective_rank[kind], expected, rtol=1e-4)


def test_many_classes_are_estimated_and_said_to_be():
    model, x = many_classes.make("perceptron", SEED)
    found, exact = local_geometry(model, x), LocalDataMatrix.at(model, x)
    assert not found.exact
    assert (found.standard_error > 0).all()
    assert found.tangent_dimension.isnan().all()
    assert ((found.trace - exact.trace()).abs() < 6 * found.standard_error).all()
    assert torch.allclose(found.eigenvalues, exact.eigenvalues()[:, :8], rtol=0.02)


class Spoiled(nn.Module):
    """NaN scores where the first coordinate is above 5; infinite slopes where it is zero."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(20, classes)

    def forward(self, x):
        spoiled = torch.where(x[:, :1] > 5, torch.nan, x[:, :1].abs().sqrt())
        return self.last(x) + 0.1 * spoiled


@pytest.mark.parametrize("classes", [4, 200])
def test_what_is_not_finite_spoils_its_own_row_only(classes):
    torch.manual_seed(SEED)
    model, x = Spoiled(classes), torch.rand(7, 20) + 0.1
    x[1, 3], x[3, 0], x[4, 0] = torch.nan, 9.0, 0.0
    found = local_geometry(model, x)
    good = torch.tensor([0, 2, 5, 6])
    assert found.finite.nonzero().flatten().tolist() == good.tolist()
    assert found.eigenvalues[[1, 3, 4]].isnan().all()
    alone = local_geometry(model, x[good])
    assert torch.allclose(found.trace[good], alone.trace, rtol=1e-4)


@pytest.mark.parametrize("classes", [4, 200])
def test_nothing_finite_is_all_nan(classes):
    found = local_geometry(Spoiled(classes), torch.full((3, 20), torch.inf))
    assert not found.finite.any()


@pytest.mark.parametrize("kind", ["LocalDataMatrix.eigenvalues", "MatrixFreeDataMatrix.spectrum"])
@pytest.mark.parametrize(
    ("ranks", "eigenvalues", "taken"), [((), 0, 0), ((), 2, 1), (("stable",), 0, 1)]
)
def test_a_spectrum_is_taken_only_where_it_is_wanted(monkeypatch, kind, ranks, eigenvalues, taken):
    owner, method = kind.split(".")
    original, calls = getattr(getattr(lightning_leaf, owner), method), []

    def spied(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(getattr(lightning_leaf, owner), method, spied)
    model = nn.Linear(20, 4 if owner == "LocalDataMatrix" else 200)
    found = local_geometry(model, torch.randn(3, 20), ranks=ranks, eigenvalues=eigenvalues)
    assert len(calls) == taken
    assert found.eigenvalues.shape == (3, eigenvalues)
    assert list(found.effective_rank) == list(ranks)
    assert found.finite.all()


def test_one_input_of_one_logit():
    found = local_geometry(nn.Linear(5, 1), torch.randn(1, 5))
    assert found.exact
    assert found.eigenvalues.shape == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ranks": "entropy"}, "ranks expects a list"),
        ({"ranks": ["nuclear"]}, r"got \['nuclear'\]"),
        ({"eigenvalues": -1}, "0 or more; got -1"),
        ({"chunk_size": 0}, "chunk_size expects a positive whole number; got 0"),
        ({"x": torch.zeros(5)}, r"batch of inputs.*shape \(5,\)"),
    ],
)
def test_mistakes_are_named(arguments, message):
    arguments = {"x": torch.zeros(2, 5)} | arguments
    with pytest.raises(LeafError, match=message):
        local_geometry(nn.Linear(5, 3), arguments.pop("x"), **arguments)
