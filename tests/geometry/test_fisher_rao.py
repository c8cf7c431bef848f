"""Distances on the sphere of radius 2, accurate also between points that nearly coincide."""

import math

import torch

from lightning_leaf import LocalDataMatrix, fisher_rao_distance, fisher_rao_length
from tests.support.cases import CASES


def log_probabilities(*shape):
    return torch.randn(*shape, dtype=torch.float64).log_softmax(-1)


def test_the_distance_is_twice_the_angle():
    p, q = log_probabilities(20, 5), log_probabilities(20, 5)
    expected = 2 * torch.acos((0.5 * (p + q)).exp().sum(-1))
    assert torch.allclose(fisher_rao_distance(p, q), expected, rtol=1e-10)


def test_small_distances_are_accurate():
    """Negative control: arccos of a number near one is zero or rounding noise."""
    epsilon = 1e-9
    p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    q = torch.tensor([0.5 + epsilon, 0.5 - epsilon], dtype=torch.float64)
    distance = fisher_rao_distance(p.log(), q.log())
    assert math.isclose(distance, 2 * epsilon, rel_tol=1e-6)
    naive = 2 * torch.acos((p * q).sqrt().sum().clamp(max=1))
    assert not math.isclose(naive, 2 * epsilon, rel_tol=1e-2)


def test_a_path_is_never_shorter_than_the_distance_of_its_ends():
    curve = log_probabilities(8, 30, 6)
    length = fisher_rao_length(curve)
    assert (length[:, 0] == 0).all()
    assert (length.diff() >= 0).all()
    assert (length[:, -1] >= fisher_rao_distance(curve[:, 0], curve[:, -1])).all()


def test_the_length_of_a_short_step_is_its_length_in_the_metric():
    """ds² = δᵀGδ."""
    model, x = next(c for c in CASES if c.name == "signal").make(1)
    model, x = model.double().eval(), x.double()
    g, v = LocalDataMatrix.at(model, x), 1e-4 * torch.randn_like(x)
    expected = ((g @ v) * v).flatten(1).sum(1).sqrt()
    actual = fisher_rao_distance(g.log_probs, model(x + v).detach().log_softmax(1))
    assert torch.allclose(actual, expected, rtol=1e-2)
