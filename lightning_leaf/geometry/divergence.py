"""The Kullback–Leibler divergence of predictions, and coordinates in which it is half a square."""

import torch
from torch import Tensor

from lightning_leaf.geometry.labels import label_angles, log_complement
from lightning_leaf.model.likelihood import Likelihood

SERIES_BELOW = 1e-3
"""|t| below which eᵗ − 1 − t is computed by its series: the difference loses digits there."""


def kl_divergence(
    log_p: Tensor,  # (..., C)
    log_q: Tensor,  # (..., C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (...,)
    r"""Return KL(p ‖ q) = Σ_i p_i (log p_i − log q_i), in nats, float64.

    It is computed as Σ_i p_i (eᵗ − 1 − t) with t = log q_i − log p_i, the same sum because both
    distributions sum to one. All terms are positive, so the sum is accurate for predictions that
    are confident or nearly equal, also from log-probabilities in float32. For independent labels it
    is the sum over the labels.

    Args:
        log_p: Log-probabilities of each class or label.
        log_q: Log-probabilities of each class or label.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

    Example:
        >>> import torch
        >>> p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
        >>> f"{kl_divergence(p.log(), q.log()).item():.4f}"
        '0.5108'
    """
    log_p, log_q = log_p.double(), log_q.double()
    terms = _terms(log_p, log_q)
    if likelihood == "bernoulli":
        terms = terms + _terms(log_complement(log_p), log_complement(log_q))
    return terms.sum(-1)


def _terms(log_p: Tensor, log_q: Tensor) -> Tensor:  # (..., C) -> (..., C)
    t = log_q - log_p
    series = t * t / 2 * (1 + t / 3 * (1 + t / 4))
    p, q = log_p.exp(), log_q.exp()
    terms = p * torch.where(t.abs() < SERIES_BELOW, series, torch.expm1(t.clamp(max=1)) - t)
    terms = torch.where(t > 1, q - p * (1 + t), terms)  # eᵗ could overflow
    return torch.where(log_p == -torch.inf, log_q.exp(), terms)


def sphere_coordinates(
    log_p: Tensor,  # (..., C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (..., C)
    """Return ξ with ∂ξ/∂x = A, float64, so that KL(p ‖ q) ≈ ½ ‖ξ(p) − ξ(q)‖² for close p and q.

    ξ = 2√p for exclusive classes, and the angle 2 arcsin √p_k of each independent label.
    """
    return label_angles(log_p) if likelihood == "bernoulli" else 2 * (0.5 * log_p.double()).exp()
