"""Lengths and distances in the metric G, from probabilities alone.

With ξ = 2√p one has ∂ξ/∂x = A, so G = AᵀA is the pull-back of the Fisher–Rao metric: the metric
of the sphere of radius 2. Distances between predictions are arcs of that sphere. Predictions of
independent labels are points of the product of one such circle for each label.
"""

import torch
from torch import Tensor

from lightning_leaf.geometry.labels import log_complement
from lightning_leaf.model.likelihood import Likelihood, checked_likelihood


def fisher_rao_distance(
    log_p: Tensor,  # (..., C)
    log_q: Tensor,  # (..., C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (...,)
    r"""Return the Fisher–Rao distance 2·arccos(Σ_i √(p_i q_i)) between two predictions.

    It is computed as 4·arcsin(‖√p − √q‖ / 2), the same arc from its chord, because arccos loses
    half of the digits where p ≈ q. For independent labels it is √(Σ_k d_k²), with the distance d_k
    of the two distributions (p_k, 1 − p_k) and (q_k, 1 − q_k) of each label.

    Args:
        log_p: Log-probabilities of each class or label, shape ``(..., C)``.
        log_q: Log-probabilities of each class or label, shape ``(..., C)``.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

    Returns:
        Distances in [0, π], or in [0, √C π] for labels, shape ``(...,)``, float64.

    Raises:
        LeafError: If ``likelihood`` is unknown.

    Example:
        >>> import torch
        >>> certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()
        >>> f"{fisher_rao_distance(certain[0], certain[1]).item():.6f}"  # no overlap: π
        '3.141593'
    """
    if checked_likelihood(likelihood) == "bernoulli":
        distances = fisher_rao_distance(_with_complement(log_p), _with_complement(log_q))
        total: Tensor = torch.linalg.vector_norm(distances, dim=-1)
        return total
    difference = (0.5 * log_p.double()).exp() - (0.5 * log_q.double()).exp()  # (..., C)
    chord = torch.linalg.vector_norm(difference, dim=-1)
    return 4 * torch.asin((0.5 * chord).clamp(max=1.0))


def fisher_rao_length(
    log_probs: Tensor,  # (..., T, C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (..., T)
    r"""Return the cumulative length, in the metric G, of the curve through T predictions.

    length_t is the sum of the Fisher–Rao distances of consecutive predictions up to t,
    Σ_{s<t} 2·arccos(Σ_i √(p_i(x_s) p_i(x_{s+1}))) for exclusive classes: the length of the polygon
    through the points. It is never shorter than the Fisher–Rao distance of its end points, and
    never longer than the curve.

    Args:
        log_probs: Log-probabilities along a path, shape ``(..., T, C)``.
        likelihood: See :func:`fisher_rao_distance`.

    Returns:
        Length from the first point to each point, shape ``(..., T)``, float64, first entry 0.
    """
    steps = fisher_rao_distance(log_probs[..., :-1, :], log_probs[..., 1:, :], likelihood)
    return torch.nn.functional.pad(steps.cumsum(-1), (1, 0))


def _with_complement(log_p: Tensor) -> Tensor:  # (..., C) -> (..., C, 2)
    """Return log p and log(1 − p) of each label."""
    return torch.stack([log_p.double(), log_complement(log_p)], dim=-1)
