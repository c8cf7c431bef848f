"""The tangent distribution D_x, spanned by the directions in which a prediction changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

COLUMNS_AT_ONCE = 2**14
"""Columns of the rows to convert to float64 at once. All of them would need twice the memory of
the gradients."""
LEAST_TRACE = 1e-280
"""Smallest trace of a Gram matrix, to which its damping is relative."""


class TangentSpace:
    r"""D_x of every input of a batch (equation 9): the row space of M, and projections on it.

    The rows are contrasts ∇s_i − ∇s_0 of exclusive classes, or gradients ∇s_k of independent
    labels. They span D_x for every confidence of the model, whereas the rows ∇ log p_i of a
    confident model underflow to rounding noise.

    The rows can be linearly dependent: where directions are missing, their singular values are
    rounding noise. Each direction with the singular value σ is therefore taken with the weight
    3s² − 2s³, s = σ² / (σ² + δ), which is 1 − 3 (δ / σ²)² above the noise and 3 (σ² / δ)² within
    it. With A = (K + δI)⁻¹ and the Gram matrix K = M Mᵀ in float64, the projection is
    Mᵀ(I + 2δA)(I − δA)A M v. It takes one Cholesky factorization, which no accelerator has to
    report to the host, instead of an eigendecomposition.

    Args:
        rows: M, ``(B, n, d)``.
        rounding: Relative rounding error of the rows. Default: the machine precision of their type.

    Attributes:
        rows: The argument.
        rounding: The argument.
        error: What v − Πv may be, relative to v, if v lies in D_x.
    """

    error = 1e-6

    def __init__(self, rows: Tensor, rounding: float | None = None) -> None:
        self.rows = rows
        self.rounding = torch.finfo(rows.dtype).eps if rounding is None else rounding

    @cached_property
    def gram(self) -> Tensor:  # (B, n, n)
        """The Gram matrix M Mᵀ, float64."""
        return self._products()

    def coefficients(self, v: Tensor) -> Tensor:  # (B, d) -> (B, n, 1)
        """Return the inner products of v with the rows, float64."""
        column = v.double().unsqueeze(-1)
        return _total([part @ column[:, rows] for rows, part in self._blocks()])

    def combine(self, coefficients: Tensor) -> Tensor:  # (B, n, 1) -> (B, d)
        """Return a linear combination of the rows, float64."""
        return _side_by_side([part.mT @ coefficients for _, part in self._blocks()])

    def project(self, v: Tensor) -> Tensor:  # (B, d) -> (B, d)
        """Return the orthogonal projection Πv on D_x, float64."""
        return self.combine(self._solve(self.coefficients(v)))

    def projected_square(self, v: Tensor) -> Tensor:  # (B, d) -> (B,)
        """Return ‖Πv‖²."""
        products = self.coefficients(v)
        return (products * self._solve(products)).sum((1, 2))

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:  # (B, d) -> (B, d)
        """Return v minus its projection, which is orthogonal to D_x, float64.

        Args:
            v: One vector for each input.
            free: Boolean mask of the coordinates that may change, ``(B, d)``; None for all. The
                result is zero in the others, and D_x is restricted to these: a vector that is zero
                in the others is orthogonal to D_x if and only if it is orthogonal to this.
        """
        if free is not None:
            return TangentSpace(self.rows * free.unsqueeze(1), self.rounding).reject(v * free)
        solution = self._solve(self.coefficients(v))
        column = v.double().unsqueeze(-1)
        return _side_by_side(
            [
                torch.baddbmm(column[:, rows], part.mT, solution, alpha=-1)
                for rows, part in self._blocks()
            ]
        )

    @property
    def marker(self) -> Tensor:  # (B,)
        """The trace of the Gram matrix; it is finite where all rows are finite."""
        return self._factorization[0].flatten()

    def _solve(self, products: Tensor) -> Tensor:  # (B, n, 1) -> (B, n, 1)
        """Return (M Mᵀ)⁺ times products."""
        trace, factor = self._factorization
        relative = self._relative_damping
        solution = torch.cholesky_solve(products, factor)
        rest = torch.cholesky_solve(solution, factor)
        solution = torch.addcmul(solution, trace, rest, value=-relative)
        rest = torch.cholesky_solve(solution, factor)
        return torch.addcmul(solution, trace, rest, value=2 * relative)

    @cached_property
    def _factorization(self) -> tuple[Tensor, Tensor]:  # (B, 1, 1), (B, n, n)
        """Return the trace of K, and the Cholesky factor of K + δI."""
        damped = self.gram.clone()
        diagonal = damped.diagonal(dim1=-2, dim2=-1)
        # The smallest trace makes the Gram matrix of zero gradients invertible.
        trace = diagonal.sum(-1, keepdim=True).clamp_min_(LEAST_TRACE)
        diagonal.add_(trace, alpha=self._relative_damping)
        factor: Tensor = torch.linalg.cholesky_ex(damped).L
        return trace.unsqueeze(-1), factor

    @property
    def _relative_damping(self) -> float:
        """δ / tr K.

        Rows with a relative rounding error ε have noise with singular values of about √n·ε·σ_max,
        and computing the Gram matrix in float64 adds n·ε₆₄·λ_max. The trace is at least λ_max.
        """
        rows = self.rows.shape[1]
        return rows * max(256 * self.rounding**2, 8 * torch.finfo(torch.float64).eps)

    def _products(self) -> Tensor:  # (B, n, n)
        return _total([part @ part.mT for _, part in self._blocks()])

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:  # (B, n, at most 2¹⁴) each
        """Yield the columns of the rows in float64, in blocks."""
        for first in range(0, self.rows.shape[-1], COLUMNS_AT_ONCE):
            columns = slice(first, first + COLUMNS_AT_ONCE)
            yield columns, in_double(self.rows[..., columns])


def in_double(rows: Tensor) -> Tensor:
    """Return rows in float64, in the order of memory in which products are fast."""
    return rows.to(torch.float64, memory_format=torch.contiguous_format)


def _total(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def _side_by_side(parts: list[Tensor]) -> Tensor:  # (B, k, 1) each -> (B, d)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).squeeze(-1)
