"""Projections of MatrixFreeDataMatrix on D_x: their convergence and the estimate of their error."""

import copy

import pytest
import torch

from lightning_leaf import LocalDataMatrix, MatrixFreeDataMatrix
from tests.support import many_classes
from tests.support.cases import fresh_seeds
from tests.support.many_classes import CLASSES, MODELS

SEED = fresh_seeds(1)[0]


@pytest.mark.parametrize("name", MODELS)
def test_errors_of_projections_are_estimated_within_a_factor_of_eight(name):
    """The estimate is statistical: three quarters of the inputs must pass.

    A single input fails with a probability below 0.2 %: no failure in 1920 projections of each
    model. Three failures in eight inputs are less likely than one in a million.
    """
    model, x = many_classes.make(name, SEED, batch=8)
    v = torch.randn_like(x).double()
    # In float32, so that both treat the same directions as rounding noise.
    expected = LocalDataMatrix.at(model, x).project(v).flatten(1)
    g = MatrixFreeDataMatrix.at(model, x)
    for limit in (12, 40, 160):
        result = g.projection(v, max_iterations=limit)
        error = (result.projection - expected).norm(dim=1) / expected.norm(dim=1)
        assert (error <= 8 * result.error).double().mean() >= 0.75
        assert result.iterations <= limit
    # Negative control: the projections of other vectors.
    wrong = (result.projection.roll(1, 0) - expected).norm(dim=1) / expected.norm(dim=1)
    assert (wrong > 8 * result.error).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_projection_that_has_not_converged_is_tangent(name):
    model, x = many_classes.make(name, SEED)
    result = MatrixFreeDataMatrix.at(model, x).projection(torch.randn_like(x), max_iterations=5)
    projection = result.projection.reshape(x.shape)
    exact = LocalDataMatrix.at(copy.deepcopy(model).double(), x.double())
    assert exact.reject(projection).norm() < 1e-4 * projection.norm()


def test_projections_converge_to_their_tolerance():
    model, x = many_classes.make("perceptron", SEED)
    exact = LocalDataMatrix.at(copy.deepcopy(model).double(), x.double())
    v = torch.randn_like(x).double()
    result = MatrixFreeDataMatrix.at(model, x).projection(v)
    expected = exact.project(v).flatten(1)
    assert (result.error <= 1e-3).all()
    assert ((result.projection - expected).norm(dim=1) < 3e-3 * expected.norm(dim=1)).all()


def test_the_projection_of_zero_is_zero():
    model, x = many_classes.make("perceptron", SEED)
    result = MatrixFreeDataMatrix.at(model, x).projection(torch.zeros_like(x))
    assert result.iterations == 0
    assert result.coefficients.shape == (3, CLASSES)
    assert (result.projection == 0).all()
