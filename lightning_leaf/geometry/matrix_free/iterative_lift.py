"""Lifts by products: the least change of an input that makes a given change of its scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.score_weights import ScoreWeights

TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class IterativeLift:
    r"""v = Aᵀ(K + ε λ_max I)⁻¹ c of every input, with A = W J and K = AAᵀ.

    Attributes:
        v: Damped least vector with A v = c, ``(B, d)``, float64. It lies in D_x.
        scores: J v, up to a constant for each input (exclusive classes), ``(B, C)``, float64.
        residual: Norm of the residual of the damped system, relative to c, ``(B,)``.
    """

    v: Tensor
    scores: Tensor
    residual: Tensor


def iterative_lift(
    products: Products,
    weights: ScoreWeights,
    change: Tensor,  # (B, C)
    damping: float | Tensor,
    *,
    rtol: float,
    max_iterations: int,
    free: Tensor | None = None,  # (B, d)
) -> IterativeLift:
    """Solve the damped system in the Krylov space of K and c (Lanczos 1950).

    The largest eigenvalue λ_max is that of the Krylov space, which finds it within a few products.
    The basis is orthogonalized against all earlier vectors, so that rounding does not delay
    convergence. Damping bounds the condition number by 1/ε.

    Args:
        products: Products at the inputs.
        weights: W.
        change: c, float64.
        damping: ε, a number or one for each input, ``(B,)``.
        rtol: Relative residual at which to stop.
        max_iterations: Largest number of iterations, of one product with J and one with Jᵀ each.
        free: Boolean mask of the coordinates that may change; None for all.
    """

    def pullback(c: Tensor) -> Tensor:  # Aᵀc
        return products.combined(weights.transposed(c.unsqueeze(-1)).squeeze(-1), free)

    norm = torch.linalg.vector_norm(change, dim=1)
    basis = [change / norm.clamp_min(TINY).unsqueeze(1)]
    vectors, scores, columns = [], [], []
    while True:
        vectors.append(pullback(basis[-1]))
        scores.append(products.along(vectors[-1], free))
        image = (weights @ scores[-1].unsqueeze(-1)).squeeze(-1)  # K times the last vector
        known = torch.stack(basis, -1)  # (B, C, m)
        columns.append(torch.einsum("bcm,bc->bm", known, image))
        rest = image
        for _ in range(2):
            rest = rest - torch.einsum("bcm,bm->bc", known, torch.einsum("bcm,bc->bm", known, rest))
        following = torch.linalg.vector_norm(rest, dim=1)
        solution, residual = _solve(columns, following, norm, damping)
        if len(basis) == max_iterations or not bool((residual > rtol).any()):
            break
        basis.append(rest / following.clamp_min(TINY).unsqueeze(1))
    return IterativeLift(_combined(vectors, solution), _combined(scores, solution), residual)


def _solve(
    columns: list[Tensor],
    following: Tensor,  # (B,)
    norm: Tensor,  # (B,)
    damping: float | Tensor,
) -> tuple[Tensor, Tensor]:  # (B, m), (B,)
    """Solve the system in the Krylov space, and return the relative residual in class space."""
    size = len(columns)
    upper = torch.stack(
        [torch.nn.functional.pad(column, (0, size - column.shape[1])) for column in columns], -1
    )  # (B, m, m); symmetric up to rounding
    projected = upper.triu() + upper.triu(1).mT
    largest = torch.linalg.eigvalsh(projected.cpu())[:, -1].to(projected.device)
    shift = (damping * largest).clamp_min(TINY)
    projected.diagonal(dim1=-2, dim2=-1).add_(shift.unsqueeze(1))
    first = torch.zeros_like(following).unsqueeze(1).expand(-1, size).clone()
    first[:, 0] = norm
    factor = torch.linalg.cholesky_ex(projected).L
    solution = torch.cholesky_solve(first.unsqueeze(-1), factor).squeeze(-1)
    residual = following * solution[:, -1].abs() / norm.clamp_min(TINY)
    return solution, residual


def _combined(vectors: list[Tensor], coefficients: Tensor) -> Tensor:
    total = torch.zeros_like(vectors[0])
    for vector, coefficient in zip(vectors, coefficients.unbind(1), strict=True):
        total = torch.addcmul(total, vector, coefficient.unsqueeze(1))
    return total
