"""Lifts: the least change of an input that makes a given change of its scores."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.geometry.score_weights import ScoreWeights
from lightning_leaf.geometry.tangent_space import LEAST_TRACE, TangentSpace


def lift(
    space: TangentSpace,
    weights: ScoreWeights,
    change: Tensor,  # (B, C)
    damping: float | Tensor,
) -> tuple[Tensor, Tensor]:  # (B, d), (B, C)
    r"""Return v = Aᵀ(K + ε tr K I)⁻¹ c with A = W J and K = AAᵀ, and the change J v of the scores.

    Without damping, v is the shortest vector with A v = c; it lies in D_x. Directions of class
    space with a variance below ε tr K, in which a change of the scores would take a large change of
    the input, are followed in part only (Levenberg 1944, Marquardt 1963).

    Args:
        space: D_x at every input: contrasts with the first class, or the gradients of all labels.
        weights: W.
        change: c, float64.
        damping: ε, a number or one for each input, ``(B,)``.

    Returns:
        v, and J v up to a constant for each input (exclusive classes), both float64.
    """
    omitted = change.shape[1] - space.rows.shape[1]  # the contrast of the first class with itself
    products = torch.nn.functional.pad(space.gram, (omitted, 0, omitted, 0))  # (B, C, C)
    gram = weights @ (weights @ products).mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).clamp_min(LEAST_TRACE)
    gram.diagonal(dim1=-2, dim2=-1).add_(trace * column(damping))
    solution = torch.cholesky_solve(change.unsqueeze(-1), torch.linalg.cholesky_ex(gram).L)
    coefficients = weights.transposed(solution)
    return space.combine(coefficients[:, omitted:]), (products @ coefficients).squeeze(-1)


def column(damping: float | Tensor) -> float | Tensor:
    """Return a damping that multiplies one row for each input."""
    return damping.unsqueeze(1) if isinstance(damping, Tensor) else damping
