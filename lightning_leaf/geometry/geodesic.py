"""Geodesics between predictions, and the changes of the scores that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.geometry.labels import (
    label_angles,
    label_logits,
    log_complement,
    log_probs_of_angles,
)
from lightning_leaf.geometry.score_weights import (
    BernoulliWeights,
    CategoricalWeights,
    ScoreWeights,
)
from lightning_leaf.model.likelihood import Likelihood

TINY = torch.finfo(torch.float64).tiny
SMALL = 1e-4
"""Logarithms that differ by less have a logarithmic mean that a series gives to all digits."""


def geodesic_point(
    log_p: Tensor,  # (n, C)
    log_q: Tensor,  # (n, C)
    length: Tensor,  # (n,)
    likelihood: Likelihood,
) -> Tensor:  # (n, C)
    """Return log-probabilities of the point at a Fisher–Rao distance from p on the way to q.

    Exclusive classes: √p and √q are points of the unit sphere, and the geodesic is the great
    circle through them, √r ∝ sin(θ − t) √p + sin(t) √q with θ half of their distance and t half of
    the length. Independent labels: every angle φ_k = 2·arcsin √p_k moves at constant speed.

    Args:
        log_p: Start of the geodesic, float64.
        log_q: Its end.
        length: Distance from p, from 0 to the distance of p and q.
        likelihood: What the scores mean.
    """
    distance = fisher_rao_distance(log_p, log_q, likelihood)
    share = torch.where(distance > 0, length / distance.clamp_min(TINY), 0).unsqueeze(1)
    if likelihood == "bernoulli":
        start = label_angles(log_p)
        return log_probs_of_angles(start + share * (label_angles(log_q) - start))
    half = 0.5 * distance.unsqueeze(1)
    whole = torch.sin(half).clamp_min(TINY)
    # Near p = q both weights are the limit of a straight line.
    near = half < 1e-7
    at_p = torch.where(near, 1 - share, torch.sin((1 - share) * half) / whole)
    at_q = torch.where(near, share, torch.sin(share * half) / whole)
    root = torch.logaddexp(at_p.log() + 0.5 * log_p, at_q.log() + 0.5 * log_q)
    return torch.log_softmax(2 * root, dim=1)


@dataclass(frozen=True)
class Secant:
    r"""A finite change of a prediction from p to r as a weighted change of the scores.

    The factor A = W J with √p in its weights is the derivative of ξ = 2√p. Where p_i is tiny, ξ_i
    grows exponentially with the score, and the derivative says nothing of a step that ends at
    r_i ≫ p_i. The secant weight √w_i = Δξ_i / Δ log p_i, the logarithmic mean of √p_i and √r_i,
    takes its place: √w_i Δ log p_i is the chord Δξ_i. For r → p it is √p_i. A model whose scores
    are linear in x then makes a step of any size exactly, and a class that is improbable at both
    ends has no weight.

    Attributes:
        log_weights: log w of every class, normalized to sum to one, or of every label,
            ``(n, C)``.
        change: W Δ log p (for labels W Δs), ``(n, C)``.
        likelihood: What the scores mean.
    """

    log_weights: Tensor
    change: Tensor
    likelihood: Likelihood

    @classmethod
    def between(cls, log_p: Tensor, log_r: Tensor, likelihood: Likelihood) -> Secant:
        """Return the change from p to r, both ``(n, C)``, float64."""
        if likelihood == "bernoulli":
            rise, turn = (
                label_logits(log_r) - label_logits(log_p),
                label_angles(log_r) - label_angles(log_p),
            )
            still = rise.abs() < SMALL
            limit = log_p + log_complement(log_p)
            secant = 2 * (turn / torch.where(still, 1, rise)).clamp_min(TINY).log()
            log_weights = torch.where(still, limit, secant)
        else:
            rise = log_r - log_p
            log_weights = torch.log_softmax(2 * _log_mean(0.5 * log_p, 0.5 * log_r), dim=1)
        weights = weights_of(log_weights, likelihood)
        return cls(log_weights, (weights @ rise.unsqueeze(-1)).squeeze(-1), likelihood)

    @property
    def weights(self) -> ScoreWeights:
        """W, for products with rows of the logit Jacobian."""
        return weights_of(self.log_weights, self.likelihood)


def weights_of(log_weights: Tensor, likelihood: Likelihood) -> ScoreWeights:
    """Return W from the logarithms of its weights, see :class:`Secant`."""
    if likelihood == "bernoulli":
        return BernoulliWeights.of_log_variances(log_weights)
    return CategoricalWeights(log_weights)


def _log_mean(a: Tensor, b: Tensor) -> Tensor:
    """Return log((eᵃ − eᵇ) / (a − b)), the logarithm of the logarithmic mean of eᵃ and eᵇ."""
    half = 0.5 * (a - b).abs()
    small = half < SMALL
    large = torch.where(small, 1, half)
    log_sinh_ratio = large + torch.log1p(-torch.exp(-2 * large)) - (2 * large).log()
    return 0.5 * (a + b) + torch.where(small, half.square() / 6, log_sinh_ratio)
