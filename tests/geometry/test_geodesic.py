"""Geodesics between predictions, and secants: changes of the scores that follow them."""

import pytest
import torch

from lightning_leaf import fisher_rao_distance
from lightning_leaf.geometry.geodesic import Secant, geodesic_point
from lightning_leaf.geometry.labels import label_logits
from tests.support.cases import fresh_seeds

LIKELIHOODS = ("categorical", "bernoulli")


def predictions(seed: int, likelihood: str, spread: float = 3.0, classes: int = 7):
    """Return two predictions (16, C), from uncertain to certain ones."""
    generator = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(2, 16, classes, generator=generator, dtype=torch.float64)
    if likelihood == "bernoulli":
        return torch.nn.functional.logsigmoid(scores)
    return scores.log_softmax(-1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("spread", [0.01, 1.0, 12.0])
@pytest.mark.parametrize("seed", fresh_seeds(1))
def test_points_divide_the_distance_of_their_ends(likelihood, spread, seed):
    p, q = predictions(seed, likelihood, spread)
    distance = fisher_rao_distance(p, q, likelihood)
    for share in (0.0, 0.3, 0.8, 1.0):
        point = geodesic_point(p, q, share * distance, likelihood)
        before = fisher_rao_distance(p, point, likelihood)
        after = fisher_rao_distance(point, q, likelihood)
        torch.testing.assert_close(before, share * distance, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(after, (1 - share) * distance, rtol=1e-6, atol=1e-9)
    straight = torch.logaddexp(p, q) - torch.tensor(2.0).log()  # a mixture is no geodesic
    detour = fisher_rao_distance(p, straight, likelihood)
    detour = detour + fisher_rao_distance(straight, q, likelihood)
    assert spread < 1 or bool((detour > distance * (1 + 1e-6)).any())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_equal_ends_have_no_way_between_them(likelihood):
    p, _ = predictions(0, likelihood)
    point = geodesic_point(p, p, torch.zeros(len(p), dtype=torch.float64), likelihood)
    torch.testing.assert_close(point, p, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("seed", fresh_seeds(1))
def test_weighted_changes_of_scores_are_chords_of_the_sphere(likelihood, seed):
    p, q = predictions(seed, likelihood)
    secant = Secant.between(p, q, likelihood)
    if likelihood == "bernoulli":
        chord = 2 * ((0.5 * q).exp().asin() - (0.5 * p).exp().asin())
    else:
        # W removes the mean with the weights w; their roots map it to a multiple of √w.
        root = (0.5 * secant.log_weights).exp()
        chord = 2 * ((0.5 * q).exp() - (0.5 * p).exp())
        mean_square = (chord / (q - p)).square().sum(1, keepdim=True)
        chord = chord / mean_square.sqrt()
        chord = chord - root * (root * chord).sum(1, keepdim=True)
    torch.testing.assert_close(secant.change, chord, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_secant_of_a_short_step_has_the_weights_of_the_data_matrix(likelihood):
    p, q = predictions(0, likelihood)
    near = geodesic_point(p, q, torch.full((len(p),), 1e-6, dtype=torch.float64), likelihood)
    weights = Secant.between(p, near, likelihood).log_weights.exp()
    expected = p.exp() if likelihood == "categorical" else p.exp() * (1 - p.exp())
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(Secant.between(p, q, likelihood).log_weights.exp(), expected)


def test_classes_that_stay_improbable_have_no_weight():
    p = torch.tensor([[0.0, -30.0, -60.0]], dtype=torch.float64).log_softmax(1)
    q = torch.tensor([[-1.0, 0.0, -40.0]], dtype=torch.float64).log_softmax(1)
    secant = Secant.between(p, q, "categorical")
    assert float(secant.log_weights.exp()[0, 2]) < 1e-15
    assert float(secant.log_weights.exp()[0, 1]) > 1e-3  # though it is improbable at p


def test_logits_are_the_scores_of_labels():
    scores = torch.tensor([-40.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(label_logits(torch.nn.functional.logsigmoid(scores)), scores)
