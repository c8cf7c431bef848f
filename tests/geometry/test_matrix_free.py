"""MatrixFreeDataMatrix with many classes: estimates, error bounds, and their cost."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    NonFiniteError,
    effective_rank,
)
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.trace_estimate import estimate_trace
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes
from tests.support.cases import fresh_seeds
from tests.support.many_classes import CLASSES, MODELS

SEED = fresh_seeds(1)[0]


@dataclass(frozen=True)
class Measured:
    """A model, inputs, the exact matrices in float64 and the matrix-free ones in float32."""

    model: nn.Module
    x: Tensor
    exact: LocalDataMatrix
    g: MatrixFreeDataMatrix


@pytest.fixture(params=MODELS, scope="module")
def measured(request) -> Measured:
    model, x = many_classes.make(request.param, SEED)
    exact = LocalDataMatrix.at(copy.deepcopy(model).double(), x.double())
    return Measured(model, x, exact, MatrixFreeDataMatrix.at(model, x))


@pytest.fixture
def perceptron() -> tuple[nn.Module, Tensor]:
    return many_classes.make("perceptron", SEED)


def test_trace_estimates_are_unbiased_and_their_standard_errors_correct(measured):
    """Over many seeds, errors in units of the standard error have mean 0 and spread 1.

    In float64: for a confident model float32 rounding is larger than the standard error.
    """
    repeats = 100
    trace = measured.exact.trace().repeat(repeats)
    x = measured.x.double().repeat(repeats, *[1] * (measured.x.ndim - 1))
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(trace))]
    with measuring(copy.deepcopy(measured.model).double()) as classifier:
        products = Products(classifier, x)
        estimate = estimate_trace(products.pullback, products.weights.variances, 32, generators)
    scores = ((estimate.value - trace) / estimate.standard_error).reshape(repeats, -1)  # (100, B)
    # Heavy tails make some standard errors too small. Medians ignore these. For normal errors, the
    # bounds are 6 standard deviations of the medians away.
    assert scores.median(0).values.abs().max() < 0.8
    assert 0.35 < scores.abs().median() < 1.2  # 0.67 for normal errors


def test_a_trace_that_is_twice_too_large_is_outside_of_the_standard_error(measured):
    """Negative control."""
    estimate = measured.g.trace_estimate()
    wrong = 2 * measured.exact.trace()
    assert ((estimate.value - wrong).abs() > 3 * estimate.standard_error).all()


def test_the_trace_is_exact_if_every_class_is_drawn(measured):
    estimate = measured.g.trace_estimate(CLASSES)
    assert (estimate.draws, estimate.standard_error.tolist()) == (CLASSES, [0.0] * len(measured.g))
    assert torch.allclose(estimate.value, measured.exact.trace(), rtol=1e-4)


def test_the_standard_error_of_64_draws_is_below_a_tenth_of_the_trace(measured):
    estimate = measured.g.trace_estimate()
    assert (estimate.standard_error < 0.1 * estimate.value).all()


def test_leading_eigenvalues_are_within_their_error_bounds(measured):
    spectrum = measured.g.spectrum(8)
    expected = measured.exact.eigenvalues(8)
    floor = 1e-4 * expected[:, :1]
    assert ((spectrum.eigenvalues - expected).abs() <= spectrum.error_bound + floor).all()
    assert (spectrum.error_bound <= 0.01 * spectrum.eigenvalues + floor).all()
    assert spectrum.products < CLASSES


def test_all_copies_of_a_multiple_eigenvalue_are_found():
    """Equal scores and orthonormal rows: C − 1 eigenvalues 1 / C."""
    model = nn.Linear(300, CLASSES, bias=False)
    model.weight.data = torch.linalg.qr(torch.randn(300, CLASSES))[0].T.contiguous()
    g = MatrixFreeDataMatrix.at(model, torch.zeros(1, 300))
    assert torch.allclose(g.eigenvalues(4), torch.tensor(1.0 / CLASSES).double(), rtol=1e-4)


def test_effective_ranks_agree_with_the_exact_ones(measured):
    spectrum, trace = measured.g.spectrum(8), measured.exact.trace()
    for kind, tolerance in (("entropy", 0.35), ("stable", 0.02), ("participation", 0.35)):
        expected = effective_rank(measured.exact.eigenvalues(), kind)
        estimated = spectrum.effective_rank(trace, kind)
        # The error is limited to the share of the trace that is only estimated.
        allowed = 0.02 + tolerance * spectrum.unresolved(trace)
        assert ((estimated / expected - 1).abs() <= allowed).all(), kind


def test_the_unresolved_share_of_the_trace_is_that_of_the_other_eigenvalues(measured):
    trace = measured.exact.trace()
    expected = measured.exact.eigenvalues()[:, 8:].sum(1) / trace
    assert torch.allclose(measured.g.spectrum(8).unresolved(trace), expected, atol=0.02)


def test_results_depend_neither_on_the_order_of_inputs_nor_on_the_batch():
    model, x = many_classes.make("convolutions", SEED, batch=5)
    g, reversed_ = MatrixFreeDataMatrix.at(model, x), MatrixFreeDataMatrix.at(model, x.flip(0))
    alone = MatrixFreeDataMatrix.at(model, x[3:4])
    trace = g.trace()
    assert torch.allclose(trace, reversed_.trace().flip(0), rtol=1e-4)
    assert torch.allclose(trace[3:4], alone.trace(), rtol=1e-4)
    assert torch.allclose(g.eigenvalues()[3:4], alone.eigenvalues(), rtol=1e-3)
    other = MatrixFreeDataMatrix.at(model, x, seed=1)
    assert not torch.allclose(trace, other.trace(), rtol=1e-4)  # negative control


def test_changed_parameters_raise_an_error(perceptron):
    model, x = perceptron
    g = MatrixFreeDataMatrix.at(model, x)
    g.trace_estimate(4)
    with torch.no_grad():
        model[0].weight += 1e-3
    with pytest.raises(LeafError, match="parameters of the model have changed"):
        g.trace()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.trace_estimate(3), "draws expects a whole number of at least 4; got 3"),
        (lambda g: g.spectrum(2, rtol=0), "between 0 and 1; got 0"),
        (lambda g: g.projection(torch.zeros(3, 300), rtol=1), "between 0 and 1; got 1"),
        (lambda g: g.projection(torch.zeros(3, 300), max_iterations=0), "at least 1; got 0"),
    ],
)
def test_numbers_out_of_range_raise_an_error(call, message, perceptron):
    with pytest.raises(LeafError, match=message):
        call(MatrixFreeDataMatrix.at(*perceptron))


def test_infinite_derivatives_raise_an_error():
    class Diverged(nn.Module):
        def forward(self, x):
            return x.sqrt().repeat(1, 20)  # infinite slopes at zero, finite values

    g = MatrixFreeDataMatrix.at(Diverged(), torch.zeros(2, 20))
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        g.eigenvalues(2)
