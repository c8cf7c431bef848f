"""KL divergences are accurate where predictions are confident or nearly equal."""

from decimal import Decimal, localcontext

import pytest
import torch

from lightning_leaf.geometry.divergence import kl_divergence, sphere_coordinates
from lightning_leaf.geometry.score_weights import score_weights
from lightning_leaf.model.likelihood import log_probabilities

LIKELIHOODS = "categorical", "bernoulli"


def exact_kl(s, t, likelihood):
    """Return KL of the predictions with the scores s and t, with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        s, t = ([Decimal(float(value)) for value in scores] for scores in (s, t))
        if likelihood == "bernoulli":
            pairs = [((a, Decimal(0)), (b, Decimal(0))) for a, b in zip(s, t, strict=True)]
        else:
            pairs = [(s, t)]
        total = Decimal(0)
        for a, b in pairs:
            log_a, log_b = (sum(v.exp() for v in scores).ln() for scores in (a, b))
            for u, v in zip(a, b, strict=True):
                total += (u - log_a).exp() * ((u - log_a) - (v - log_b))
    return float(total)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("confidence", "change"), [(0, 1), (0, 1e-2), (12, 1), (30, 0.1), (-12, 0.1)]
)
def test_float32_log_probabilities_are_enough(likelihood, confidence, change):
    torch.manual_seed(0)
    s = torch.randn(4, dtype=torch.float64)
    s[1] += confidence
    t = s + change * torch.randn(4, dtype=torch.float64)
    log_p, log_q = (log_probabilities(scores, likelihood).float() for scores in (s, t))
    expected = exact_kl(s, t, likelihood)
    assert float(kl_divergence(log_p, log_q, likelihood)) == pytest.approx(expected, rel=1e-3)


def test_the_sum_by_definition_is_not():
    """Negative control: the terms of the definition cancel."""
    s = torch.tensor([20.0, 0, 0], dtype=torch.float64)
    t = s + torch.tensor([0, 3e-4, -2e-4], dtype=torch.float64)
    log_p, log_q = s.log_softmax(0).float(), t.log_softmax(0).float()
    expected = exact_kl(s, t, "categorical")
    naive = (log_p.exp() * (log_p - log_q)).sum()
    assert float(kl_divergence(log_p, log_q)) == pytest.approx(expected, rel=0.02)
    assert abs(float(naive) - expected) > 0.1 * expected


def test_impossible_outcomes_give_no_nan():
    p, q = torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log()
    assert float(kl_divergence(p, q)) == pytest.approx(0.6931, abs=1e-4)
    assert float(kl_divergence(q, p)) == torch.inf
    assert float(kl_divergence(p, p)) == 0


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_coordinates_have_the_derivative_a(likelihood):
    """∂ξ/∂s = W, and half of the squared distance is the divergence of close predictions."""
    s = torch.randn(5, dtype=torch.float64)

    def coordinates(scores):
        log_p = torch.nn.functional.logsigmoid(scores)
        return sphere_coordinates(
            log_p if likelihood == "bernoulli" else scores.log_softmax(0), likelihood
        )

    jacobian = torch.autograd.functional.jacobian(coordinates, s)
    log_p = log_probabilities(s.unsqueeze(0), likelihood)
    weights = score_weights(log_p, likelihood) @ torch.eye(5, dtype=torch.float64).unsqueeze(0)
    assert torch.allclose(jacobian, weights[0], atol=1e-12)
    t = s + 1e-4 * torch.randn(5, dtype=torch.float64)
    log_q = log_probabilities(t.unsqueeze(0), likelihood)
    distance = sphere_coordinates(log_p, likelihood) - sphere_coordinates(log_q, likelihood)
    half_square = 0.5 * float(distance.square().sum())
    assert float(kl_divergence(log_p, log_q, likelihood)) == pytest.approx(half_square, rel=1e-3)
