"""The tangent distribution D_x: the few directions in which a prediction changes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class TangentSpace:
    r"""D_x = span{∇s_i − ∇s_j} of every input of a batch (equation 9), from the logit Jacobian.

    The contrast rows ∇s_i − mean_j ∇s_j span D_x however confident the model is, where the rows
    ∇ log p_i underflow to rounding noise. They are rank deficient by construction (C rows, rank
    at most C − 1), so every solve is rank-revealing: an eigendecomposition in class space, cut
    where float32 gradients carry no more than rounding.

    Args:
        jacobian: J = ∂s/∂x (or of log-probabilities: contrasts are the same), ``(B, C, d)``.

    Attributes:
        jacobian: As given.
        gram: Gram matrix of the contrast rows in float64, ``(B, C, C)``; with Q = I − 11ᵀ/C it is
            Q J Jᵀ Q, its null vector 1 exact instead of rounding noise.
    """

    def __init__(self, jacobian: Tensor) -> None:
        self.jacobian = jacobian
        exact = jacobian.double()
        gram = exact @ exact.mT
        self.gram = _centre(_centre(gram).mT)

    def dimension(self) -> Tensor:  # (B,)
        """Numerical rank of the contrast rows, int64, at most C − 1."""
        values, _ = self._eigen
        return (values > self._cut(values)).sum(-1)

    def coefficients(self, v: Tensor) -> Tensor:  # (B, d) -> (B, C, 1)
        """Inner products of v with the contrast rows, float64."""
        return _centre(self.jacobian.double() @ v.double().unsqueeze(-1))

    def combine(self, coefficients: Tensor) -> Tensor:  # (B, C, 1) -> (B, d)
        """Linear combination of the contrast rows, float64."""
        return (self.jacobian.double().mT @ _centre(coefficients)).squeeze(-1)

    def project(self, v: Tensor) -> Tensor:  # (B, d) -> (B, d)
        """Orthogonal projection on D_x: Mᵀ (M Mᵀ)⁺ M v with the contrast rows M, float64."""
        values, vectors = self._eigen
        inverse = torch.where(values > self._cut(values), values.reciprocal(), 0)
        rotated = vectors.mT @ self.coefficients(v)
        return self.combine(vectors @ (inverse.unsqueeze(-1) * rotated))

    def restricted(self, free: Tensor) -> TangentSpace:  # (B, d)
        """The same inputs where only some of their coordinates may change.

        What is orthogonal to it and zero elsewhere is orthogonal to D_x itself.
        """
        return TangentSpace(self.jacobian * free.unsqueeze(1))

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        return tuple(torch.linalg.eigh(self.gram))

    def _cut(self, values: Tensor) -> Tensor:  # (B, C) -> (B, 1)
        """Eigenvalues of the Gram matrix below this are squares of rounding errors.

        Rows with relative rounding ε carry singular values of noise up to C·ε·σ_max; forming the
        Gram matrix in float64 adds C·ε₆₄·λ_max.
        """
        classes = values.shape[-1]
        rounding = torch.finfo(self.jacobian.dtype).eps
        relative = max((classes * rounding) ** 2, classes * torch.finfo(torch.float64).eps)
        return relative * values[..., -1:].clamp_min(torch.finfo(torch.float64).tiny)


def _centre(rows: Tensor) -> Tensor:  # (B, C, n)
    return rows - rows.mean(1, keepdim=True)
