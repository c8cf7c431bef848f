"""Lengths and distances in the metric G, from probabilities alone.

With ξ = 2√p one has ∂ξ/∂x = A, so G = AᵀA is the pull-back of the Fisher–Rao metric: the metric
of the sphere of radius 2. Distances between predictions are arcs of that sphere.
"""

import torch
from torch import Tensor


def fisher_rao_distance(
    log_p: Tensor,  # (..., C)
    log_q: Tensor,  # (..., C)
) -> Tensor:  # (...,)
    r"""Return the Fisher–Rao distance 2·arccos(Σ_i √(p_i q_i)) between two predictions.

    It is computed as 4·arcsin(‖√p − √q‖ / 2), the same arc from its chord, because arccos loses
    half of the digits where p ≈ q.

    Args:
        log_p: Log-probabilities, shape ``(..., C)``.
        log_q: Log-probabilities, shape ``(..., C)``.

    Returns:
        Distances in [0, π], shape ``(...,)``, float64.

    Example:
        >>> import torch
        >>> certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()
        >>> f"{fisher_rao_distance(certain[0], certain[1]).item():.6f}"  # no overlap: π
        '3.141593'
    """
    difference = (0.5 * log_p.double()).exp() - (0.5 * log_q.double()).exp()  # (..., C)
    chord = torch.linalg.vector_norm(difference, dim=-1)
    return 4 * torch.asin((0.5 * chord).clamp(max=1.0))


def fisher_rao_length(
    log_probs: Tensor,  # (..., T, C)
) -> Tensor:  # (..., T)
    r"""Return the cumulative length, in the metric G, of the curve through T predictions.

    length_t = Σ_{s<t} 2·arccos(Σ_i √(p_i(x_s) p_i(x_{s+1}))), the length of the polygon through
    the points. It is never shorter than the Fisher–Rao distance of its end points, and never
    longer than the curve.

    Args:
        log_probs: Log-probabilities along a path, shape ``(..., T, C)``.

    Returns:
        Length from the first point to each point, shape ``(..., T)``, float64, first entry 0.
    """
    steps = fisher_rao_distance(log_probs[..., :-1, :], log_probs[..., 1:, :])
    return torch.nn.functional.pad(steps.cumsum(-1), (1, 0))
