"""The tangent distribution D_x, spanned by the directions in which a prediction changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from lightning_leaf.model.likelihood import Likelihood

COLUMNS_AT_ONCE = 2**14
"""Columns of the Jacobian to convert to float64 at once. All of them would need twice the memory of
the gradients."""


class TangentSpace:
    r"""D_x of every input of a batch (equation 9), from the logit Jacobian.

    Exclusive classes: D_x = span{∇s_i − ∇s_j}. The contrast rows ∇s_i − mean_j ∇s_j span D_x for
    every confidence of the model, whereas the rows ∇ log p_i of a confident model underflow to
    rounding noise. They are rank deficient by construction (C rows, rank at most C − 1), so every
    solve is rank-revealing: an eigendecomposition in class space, without the eigenvalues that are
    rounding noise. Independent labels: D_x = span{∇s_k}, without centring.

    Args:
        jacobian: J = ∂s/∂x, ``(B, C, d)``. For exclusive classes, the same row may be added to all
            rows: gradients of log-probabilities or of contrasts with one class serve as well as
            those of scores.
        likelihood: What the scores mean.

    Attributes:
        jacobian: The argument.
        gram: Gram matrix of the spanning rows in float64, ``(B, C, C)``: Q J Jᵀ Q, with
            Q = I − 11ᵀ/C for exclusive classes, whose null vector 1 is then exact instead of
            rounding noise, and Q = I for independent labels.
    """

    def __init__(self, jacobian: Tensor, likelihood: Likelihood = "categorical") -> None:
        self.jacobian = jacobian
        self._likelihood = likelihood
        gram = torch.stack([part @ part.mT for _, part in self._blocks()]).sum(0)
        self.gram = self._spanning(self._spanning(gram).mT)

    def dimension(self) -> Tensor:  # (B,)
        """Return the numerical rank of the spanning rows, int64.

        At most C − 1 for exclusive classes, at most C and d for independent labels.
        """
        values, _ = self._eigen
        return (values > self._cut(values)).sum(-1)

    def coefficients(self, v: Tensor) -> Tensor:  # (B, d) -> (B, C, 1)
        """Return the inner products of v with the spanning rows, float64."""
        column = v.double().unsqueeze(-1)
        products = [part @ column[:, rows] for rows, part in self._blocks()]
        return self._spanning(torch.stack(products).sum(0))

    def combine(self, coefficients: Tensor) -> Tensor:  # (B, C, 1) -> (B, d)
        """Return a linear combination of the spanning rows, float64."""
        factors = self._spanning(coefficients)
        return torch.cat([(part.mT @ factors).squeeze(-1) for _, part in self._blocks()], dim=1)

    def project(self, v: Tensor) -> Tensor:  # (B, d) -> (B, d)
        """Return the orthogonal projection on D_x, Mᵀ (M Mᵀ)⁺ M v with spanning rows M, float64."""
        inverse, vectors = self._inverse
        rotated = vectors.mT @ self.coefficients(v)
        return self.combine(vectors @ (inverse * rotated))

    def share(self, v: Tensor) -> Tensor:  # (B, d) -> (B,)
        """Return ‖Πv‖ / ‖v‖, the share of v that lies in D_x; NaN where v is zero."""
        inverse, vectors = self._inverse
        rotated = vectors.mT @ self.coefficients(v)
        square = (inverse * rotated.square()).sum((1, 2))  # ‖Πv‖²
        share: Tensor = square.sqrt() / torch.linalg.vector_norm(v, dim=1)
        return share

    def restricted(self, free: Tensor) -> TangentSpace:  # (B, d)
        """Return the tangent space of the inputs if only some of their coordinates may change.

        A vector that is zero in the other coordinates is orthogonal to it if and only if it is
        orthogonal to D_x.

        Args:
            free: Boolean mask of the coordinates that may change.
        """
        return TangentSpace(self.jacobian * free.unsqueeze(1), self._likelihood)

    def _spanning(self, rows: Tensor) -> Tensor:  # (B, C, n)
        return spanning_rows(rows, self._likelihood)

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        return tuple(torch.linalg.eigh(self.gram))

    @cached_property
    def _inverse(self) -> tuple[Tensor, Tensor]:  # (B, C, 1), (B, C, C)
        """Return the eigenvalues of (M Mᵀ)⁺, zero below the cut, and its eigenvectors."""
        values, vectors = self._eigen
        inverse = torch.where(values > self._cut(values), values.reciprocal(), 0)
        return inverse.unsqueeze(-1), vectors

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:  # (B, C, at most 2¹⁴) each
        """Yield the columns of the Jacobian in float64, in blocks."""
        for first in range(0, self.jacobian.shape[-1], COLUMNS_AT_ONCE):
            columns = slice(first, first + COLUMNS_AT_ONCE)
            yield columns, self.jacobian[..., columns].double()

    def _cut(self, values: Tensor) -> Tensor:  # (B, C) -> (B, 1)
        """Return the value below which eigenvalues of the Gram matrix are rounding noise.

        Rows with a relative rounding error ε have noise with singular values up to C·ε·σ_max.
        Computing the Gram matrix in float64 adds C·ε₆₄·λ_max.
        """
        classes = values.shape[-1]
        rounding = torch.finfo(self.jacobian.dtype).eps
        relative = max((classes * rounding) ** 2, classes * torch.finfo(torch.float64).eps)
        return relative * values[..., -1:].clamp_min(torch.finfo(torch.float64).tiny)


def spanning_rows(rows: Tensor, likelihood: Likelihood) -> Tensor:  # (B, C, n)
    """Return Q times rows: centred for exclusive classes, unchanged for independent labels."""
    return rows - rows.mean(1, keepdim=True) if likelihood == "categorical" else rows
