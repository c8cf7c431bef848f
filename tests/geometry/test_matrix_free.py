"""MatrixFreeDataMatrix with many classes: estimates, bounds, and what it costs."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    NonFiniteError,
    effective_rank,
)
from tests.support import many_classes
from tests.support.cases import fresh_seeds
from tests.support.many_classes import CLASSES, MODELS

SEEDS = fresh_seeds(1)


@pytest.fixture(params=MODELS)
def both(request):
    """The exact measurement in float64, and the matrix-free one in float32."""
    model, x = many_classes.make(request.param, SEEDS[0])
    exact = copy.deepcopy(model).double()
    return LocalDataMatrix.at(exact, x.double()), MatrixFreeDataMatrix.at(model, x), x


def test_the_trace_is_unbiased_and_its_standard_error_is_one(both):
    """Over many seeds the errors, in units of the standard error, have mean 0 and spread 1."""
    exact, g, x = both
    scores = []
    for seed in range(60):
        estimate = MatrixFreeDataMatrix.at(g._model, x, seed=seed).trace_estimate(32)
        # A confident model leaves so little to be drawn that float32 is the larger error.
        spread = estimate.standard_error.clamp_min(1e-5 * exact.trace())
        scores.append((estimate.value - exact.trace()) / spread)
    scores = torch.stack(scores)  # (60, B)
    # Heavy tails may leave a standard error too small now and then: medians tell its size.
    assert scores.median(0).values.abs().max() < 0.8
    assert scores.abs().median() < 1.2  # 0.67 for normal errors
    if estimate.standard_error.median() > 1e-3 * exact.trace().median():
        assert scores.abs().median() > 0.35


def test_a_trace_that_is_twice_too_large_would_be_found_out(both):
    """Negative control: twice as much is more than the standard error explains."""
    exact, g, _ = both
    estimate = g.trace_estimate()
    assert ((estimate.value - 2 * exact.trace()).abs() > 3 * estimate.standard_error).all()


def test_the_trace_is_exact_once_every_class_is_drawn(both):
    exact, g, _ = both
    estimate = g.trace_estimate(CLASSES)
    assert (estimate.draws, estimate.standard_error.tolist()) == (CLASSES, [0.0] * len(g))
    assert torch.allclose(estimate.value, exact.trace(), rtol=1e-4)


def test_sixty_four_draws_are_within_a_tenth(both):
    _, g, _ = both
    estimate = g.trace_estimate()
    assert (estimate.standard_error < 0.1 * estimate.value).all()


def test_leading_eigenvalues_are_within_their_bounds(both):
    exact, g, _ = both
    found = g.spectrum(8)
    expected = exact.eigenvalues()[:, :8]
    floor = 1e-4 * expected[:, :1]
    assert ((found.eigenvalues - expected).abs() <= found.error_bound + floor).all()
    assert (found.error_bound <= 0.01 * found.eigenvalues + floor).all()
    assert found.products < CLASSES


def test_eigenvalues_that_coincide_are_all_found():
    """Equal scores and orthonormal rows: C − 1 eigenvalues 1 / C."""
    model = nn.Linear(300, CLASSES, bias=False)
    model.weight.data = torch.linalg.qr(torch.randn(300, CLASSES))[0].T.contiguous()
    g = MatrixFreeDataMatrix.at(model, torch.zeros(1, 300))
    assert torch.allclose(g.eigenvalues(4), torch.tensor(1.0 / CLASSES).double(), rtol=1e-4)


def test_effective_ranks_are_near_the_exact_ones(both):
    exact, g, _ = both
    spectrum, trace = g.spectrum(8), g.trace_estimate(CLASSES).value
    for kind, tolerance in (("entropy", 0.35), ("stable", 0.02), ("participation", 0.35)):
        expected = effective_rank(exact.eigenvalues(), kind)
        found = spectrum.effective_rank(trace, kind)
        # What the eigenvalues found do not hold is estimated, and that much may be off.
        allowed = 0.02 + tolerance * spectrum.unresolved(trace)
        assert ((found / expected - 1).abs() <= allowed).all(), kind


def test_the_share_that_is_not_resolved_is_said(both):
    exact, g, _ = both
    spectrum = g.spectrum(8)
    left = exact.eigenvalues()[:, 8:].sum(1) / exact.trace()
    assert torch.allclose(spectrum.unresolved(exact.trace()), left, atol=0.02)


def test_the_error_of_a_projection_is_estimated_honestly(both):
    _, g, x = both
    v = torch.randn_like(x).double()
    # In float32, so that both take the same directions for rounding.
    expected = LocalDataMatrix.at(g._model, x).project(v).flatten(1)
    for limit in (12, 40, 160):
        found = g.projection(v, max_iterations=limit)
        true = (found.projection - expected).norm(dim=1) / expected.norm(dim=1)
        assert (true <= 8 * found.error + 2e-3).all()
        assert found.iterations <= limit


def test_a_projection_that_has_not_converged_is_tangent_all_the_same(both):
    exact, g, x = both
    found = g.projection(torch.randn_like(x), max_iterations=5).projection.reshape(x.shape)
    assert exact.reject(found).norm() < 1e-4 * found.norm()


def test_projections_converge_within_their_tolerance():
    model, x = many_classes.make("perceptron", SEEDS[0])
    exact = LocalDataMatrix.at(copy.deepcopy(model).double(), x.double())
    v = torch.randn_like(x).double()
    found = MatrixFreeDataMatrix.at(model, x).projection(v)
    expected = exact.project(v).flatten(1)
    assert (found.error <= 1e-3).all()
    assert ((found.projection - expected).norm(dim=1) < 3e-3 * expected.norm(dim=1)).all()


def test_nothing_is_projected_to_nothing():
    model, x = many_classes.make("perceptron", SEEDS[0])
    found = MatrixFreeDataMatrix.at(model, x).projection(torch.zeros_like(x))
    assert found.iterations == 0
    assert found.coefficients.shape == (3, CLASSES)
    assert (found.projection == 0).all()


def test_answers_depend_on_neither_order_nor_company():
    model, x = many_classes.make("convolutions", SEEDS[0], batch=5)
    g, reversed_ = MatrixFreeDataMatrix.at(model, x), MatrixFreeDataMatrix.at(model, x.flip(0))
    alone = MatrixFreeDataMatrix.at(model, x[3:4])
    assert torch.allclose(g.trace(), reversed_.trace().flip(0), rtol=1e-4)
    assert torch.allclose(g.trace()[3:4], alone.trace(), rtol=1e-4)
    assert torch.allclose(g.eigenvalues()[3:4], alone.eigenvalues(), rtol=1e-3)
    other = MatrixFreeDataMatrix.at(model, x, seed=1)
    assert not torch.allclose(g.trace(), other.trace(), rtol=1e-4)  # the seed does matter


def test_a_model_that_has_been_trained_on_is_refused():
    model, x = many_classes.make("perceptron", SEEDS[0])
    g = MatrixFreeDataMatrix.at(model, x)
    g.trace()
    with torch.no_grad():
        model[0].weight += 1e-3
    with pytest.raises(LeafError, match="have changed since"):
        g.trace()


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda g: g.trace_estimate(3), "at least 4; got 3"),
        (lambda g: g.spectrum(CLASSES), "from 1 to C − 1 = 199; got 200"),
        (lambda g: g.spectrum(2, rtol=0), "between 0 and 1; got 0"),
        (lambda g: g.projection(torch.zeros(3, 300), rtol=1), "between 0 and 1; got 1"),
        (lambda g: g.projection(torch.zeros(3, 300), max_iterations=0), "at least 1; got 0"),
    ],
)
def test_values_out_of_range_are_named(question, message):
    model, x = many_classes.make("perceptron", SEEDS[0])
    with pytest.raises(LeafError, match=message):
        question(MatrixFreeDataMatrix.at(model, x))


def test_diverged_derivatives_are_named():
    class Diverged(nn.Module):
        def forward(self, x):
            return x.sqrt().repeat(1, 20)  # infinite slopes at zero, finite values

    g = MatrixFreeDataMatrix.at(Diverged(), torch.zeros(2, 20))
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        g.eigenvalues(2)
