"""local_geometry measures any number of inputs and classes, and marks non-finite results."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    effective_rank,
    local_geometry,
)
from lightning_leaf.geometry.class_space import ClassSpace
from lightning_leaf.model import classifier
from lightning_leaf.model.classifier import Classifier, measuring
from tests.support import many_classes, oracle
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_results_are_those_of_the_matrices(case, chunk_size):
    model, x = case.make(SEED)
    g = LocalDataMatrix.at(model, x)
    geometry = local_geometry(model, x, ranks=["entropy", "stable"], chunk_size=chunk_size)
    assert geometry.exact
    assert (geometry.standard_error == 0).all()
    assert torch.allclose(geometry.trace, g.trace(), rtol=1e-4)
    count = min(8, case.classes)
    assert torch.allclose(geometry.eigenvalues, g.eigenvalues(count), rtol=1e-4, atol=1e-9)
    assert torch.allclose(geometry.tangent_dimension, g.tangent_dimension().double())
    for kind in ("entropy", "stable"):
        expected = effective_rank(g.eigenvalues(), kind)
        assert torch.allclose(geometry.effective_rank[kind], expected, rtol=1e-4)


def test_models_that_mix_inputs_are_measured_one_input_at_a_time():
    """The error about larger chunks recommends it."""
    torch.manual_seed(SEED)
    linear, x = nn.Linear(6, 3), torch.randn(4, 6)

    def mixing(x):
        return linear(x + x.roll(1, 0))

    with pytest.raises(LeafError, match=r"mixes the inputs.*chunk_size=1"):
        local_geometry(mixing, x)
    geometry = local_geometry(mixing, x, chunk_size=1)
    alone = [LocalDataMatrix.at(mixing, one).trace() for one in x.split(1)]
    assert torch.allclose(geometry.trace, torch.cat(alone), rtol=1e-5)


def test_many_classes_are_estimated_and_marked_as_estimates():
    model, x = many_classes.make("perceptron", SEED)
    geometry, exact = local_geometry(model, x), LocalDataMatrix.at(model, x)
    assert not geometry.exact
    assert (geometry.standard_error > 0).all()
    assert geometry.tangent_dimension.isnan().all()
    # Six standard errors, and 1 % for a standard error that is itself too small.
    error = (geometry.trace - exact.trace()).abs()
    assert (error < 6 * geometry.standard_error + 0.01 * exact.trace()).all()
    assert torch.allclose(geometry.eigenvalues, exact.eigenvalues(8), rtol=0.02)


@pytest.fixture
def opened(monkeypatch) -> list[object]:
    """The models that were opened, in order."""
    models: list[object] = []
    quiet = classifier.quiet
    monkeypatch.setattr(classifier, "quiet", lambda model: models.append(model) or quiet(model))
    return models


@pytest.mark.parametrize("classes", [4, 200])
def test_a_measurement_opens_the_model_once(classes, opened):
    local_geometry(nn.Linear(20, classes), torch.randn(7, 20), chunk_size=2)
    assert len(opened) == 1


def test_a_measurement_inside_an_open_classifier_does_not_open_the_model(opened):
    model = nn.Linear(20, 4)
    with measuring(model) as open_classifier:
        for x in torch.randn(3, 5, 20):
            local_geometry(open_classifier, x)
    assert opened == [model]


def test_a_measurement_takes_one_forward_pass_for_each_chunk_and_one_to_check_the_model():
    linear, batches = nn.Linear(20, 4), []

    def counted(x):
        batches.append(len(x))
        return linear(x)

    local_geometry(counted, torch.randn(7, 20), chunk_size=3)
    assert batches == [2, 3, 3, 1]


@pytest.mark.parametrize("classes", [4, 200])
def test_inputs_are_copied_once_and_one_chunk_at_a_time(classes, monkeypatch):
    converted = []
    convert = Classifier.convert

    def counted_convert(self, x, name="x"):
        converted.append(len(x))
        return convert(self, x, name)

    monkeypatch.setattr(Classifier, "convert", counted_convert)
    local_geometry(nn.Linear(20, classes), torch.randn(7, 20), chunk_size=2)
    assert converted == [2, *[2, 2, 2, 1]]  # the first chunk also checks the model


class Spoiled(nn.Module):
    """NaN scores where the first coordinate is above 5; infinite slopes where it is zero."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(20, classes)

    def forward(self, x):
        spoiled = torch.where(x[:, :1] > 5, torch.nan, x[:, :1].abs().sqrt())
        return self.last(x) + 0.1 * spoiled


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("classes", [4, 200])
def test_values_that_are_not_finite_affect_only_their_own_row(classes, chunk_size):
    torch.manual_seed(SEED)
    model, x = Spoiled(classes), torch.rand(7, 20) + 0.1
    x[1, 3], x[3, 0], x[4, 0] = torch.nan, 9.0, 0.0
    geometry = local_geometry(model, x, chunk_size=chunk_size)
    good = torch.tensor([0, 2, 5, 6])
    assert geometry.finite.nonzero().flatten().tolist() == good.tolist()
    assert geometry.eigenvalues[[1, 3, 4]].isnan().all()
    alone = local_geometry(model, x[good])
    assert torch.allclose(geometry.trace[good], alone.trace, rtol=1e-4)


@pytest.mark.parametrize("classes", [4, 200])
@pytest.mark.parametrize("value", [torch.inf, 9.0], ids=["inputs", "scores"])
def test_results_are_nan_if_no_input_is_finite(classes, value):
    geometry = local_geometry(Spoiled(classes), torch.full((3, 20), value))
    assert not geometry.finite.any()
    assert geometry.log_probs.shape == (3, classes)


def test_inputs_that_overflow_in_the_precision_of_the_model_are_not_finite():
    x = torch.ones(3, 20, dtype=torch.float64)
    x[1, 0] = 1e300
    assert local_geometry(nn.Linear(20, 4), x).finite.tolist() == [True, False, True]


@pytest.mark.parametrize("owner", [ClassSpace, MatrixFreeDataMatrix], ids=["exact", "products"])
@pytest.mark.parametrize(
    ("ranks", "eigenvalues", "computed"), [((), 0, 0), ((), 2, 1), (("stable",), 0, 1)]
)
def test_a_spectrum_is_computed_only_if_needed(monkeypatch, owner, ranks, eigenvalues, computed):
    original, calls = owner.spectrum, []

    def counted_spectrum(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(owner, "spectrum", counted_spectrum)
    model = nn.Linear(20, 4 if owner is ClassSpace else 200)
    geometry = local_geometry(model, torch.randn(3, 20), ranks=ranks, eigenvalues=eigenvalues)
    assert len(calls) == computed
    assert geometry.eigenvalues.shape == (3, eigenvalues)
    assert list(geometry.effective_rank) == list(ranks)
    assert geometry.finite.all()


def test_one_input_of_a_model_with_one_logit():
    geometry = local_geometry(nn.Linear(5, 1), torch.randn(1, 5))
    assert geometry.exact
    assert geometry.eigenvalues.shape == (1, 2)


class OfBytes(nn.Module):
    """A classifier of images as bytes, which it divides by 255: always, or if they are bytes."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always
        self.net = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, x):
        if x.dtype == torch.uint8 or self.always:
            x = x.to(self.net[0].weight.dtype) / 255
        return self.net(x)


@pytest.mark.parametrize("always", [True, False])
def test_bytes_are_measured_in_the_units_of_the_model(always):
    torch.manual_seed(SEED)
    model, x = OfBytes(always), torch.randint(0, 256, (7, 20), dtype=torch.uint8)
    floats = x.double() if always else x.double() / 255
    expected = oracle.data_matrix(copy.deepcopy(model).double(), floats)
    trace = expected.diagonal(dim1=1, dim2=2).sum(1)
    geometry = local_geometry(model, x, chunk_size=3)
    assert torch.allclose(geometry.trace, trace, rtol=1e-4)
    other = oracle.data_matrix(copy.deepcopy(model).double(), floats / 255)  # negative control
    assert not torch.allclose(other, expected, rtol=1e-4)


@pytest.mark.parametrize("ranks", ["stable", ["stable"], ("stable",)])
def test_ranks_are_one_name_or_several(ranks):
    model, x = CASES[0].make(SEED)
    assert [*local_geometry(model, x, ranks=ranks).effective_rank] == ["stable"]
    assert [*local_geometry(model, x).effective_rank] == ["entropy"]  # negative control


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ranks": "nuclear"}, "ranks expects one or several of 'entropy'.*; got 'nuclear'"),
        ({"ranks": ["nuclear"]}, r"got \['nuclear'\]"),
        ({"eigenvalues": -1}, "eigenvalues expects a whole number of at least 0; got -1"),
        ({"chunk_size": 0}, "chunk_size expects a whole number of at least 1; got 0"),
        ({"x": torch.zeros(5)}, r"batch of inputs.*shape \(5,\)"),
    ],
)
def test_unusable_arguments_raise_an_error(arguments, message):
    arguments = {"x": torch.zeros(2, 5)} | arguments
    with pytest.raises(LeafError, match=message):
        local_geometry(nn.Linear(5, 3), arguments.pop("x"), **arguments)
