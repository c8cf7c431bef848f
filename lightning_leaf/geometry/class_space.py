"""The spectrum of G, from matrices of the size of the number of classes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from lightning_leaf.geometry.estimates import LeadingSpectrum
from lightning_leaf.geometry.score_weights import ScoreWeights, score_weights
from lightning_leaf.model.likelihood import Likelihood


class ClassSpace:
    """Trace, eigenvalues and rank of G = AᵀA from K = AAᵀ, C×C, for every input of a batch.

    Eigenvalues are computed on the host: an accelerator is slower at many small matrices, and
    waits for the host at every one of them.

    Args:
        log_probs: log p of each class or label, ``(B, C)``, float64.
        products: Gram matrix of the rows that span D_x, float64: of contrasts with the first class,
            ``(B, C − 1, C − 1)``, or of the gradients of all labels, ``(B, C, C)``.
        likelihood: What the scores mean.
        rounding: Relative rounding error of the rows.
    """

    def __init__(
        self, log_probs: Tensor, products: Tensor, likelihood: Likelihood, rounding: float
    ) -> None:
        self.log_probs = log_probs
        self.likelihood = likelihood
        self._products = products
        self._rounding = rounding
        self._omitted = log_probs.shape[1] - products.shape[1]  # the row of zeros, see with_zeros

    def on_host(self) -> ClassSpace:
        """Return the same on the CPU, after one copy."""
        padded = torch.nn.functional.pad(self._products, (self._omitted, 0))  # (B, n, C)
        both = torch.cat([self.log_probs.unsqueeze(1), padded], dim=1).cpu()
        products = both[:, 1:, self._omitted :]
        return ClassSpace(both[:, 0], products, self.likelihood, self._rounding)

    @cached_property
    def weights(self) -> ScoreWeights:
        """W with A = W J."""
        return score_weights(self.log_probs, self.likelihood)

    def with_zeros(self, rows: Tensor) -> Tensor:  # (B, n, ...) -> (B, C, ...)
        """Return rows that replace those of J: the row of zeros first, for exclusive classes."""
        return torch.nn.functional.pad(rows, (0, 0, self._omitted, 0))

    @cached_property
    def gram(self) -> Tensor:  # (B, C, C)
        """K = AAᵀ, float64. Its non-zero eigenvalues are those of G."""
        half = self.weights @ self._centred
        return self.weights @ half.mT

    def trace(self) -> Tensor:  # (B,)
        """Return tr G."""
        return self.gram.diagonal(dim1=-2, dim2=-1).sum(-1)

    def eigenvalues(self) -> Tensor:  # (B, C)
        """Return the eigenvalues of K, descending."""
        return _eigenvalues(self.gram).flip(-1).clamp_min(0)

    def spectrum(self) -> LeadingSpectrum:
        """Return all eigenvalues, exact up to rounding."""
        values = self.eigenvalues()
        none = values[:, :0]
        return LeadingSpectrum(values, torch.zeros_like(values), none, none, products=0)

    def tangent_dimension(self) -> Tensor:  # (B,)
        """Return the numerical rank of the rows that span D_x, int64.

        Rows with a relative rounding error ε have noise with singular values up to C·ε·σ_max.
        Computing the Gram matrix in float64 adds C·ε₆₄·λ_max.
        """
        values = _eigenvalues(self._centred)
        classes = values.shape[-1]
        relative = max((classes * self._rounding) ** 2, classes * torch.finfo(torch.float64).eps)
        cut = relative * values[..., -1:].clamp_min(torch.finfo(torch.float64).tiny)
        return (values > cut).sum(-1)

    def finite(self) -> Tensor:  # (B,)
        """Return a Boolean mask of the inputs with finite probabilities and gradients."""
        return self.log_probs.isfinite().all(1) & self._products.isfinite().flatten(1).all(1)

    def select(self, rows: Tensor) -> ClassSpace:
        """Return that of some of the inputs."""
        return ClassSpace(
            self.log_probs[rows], self._products[rows], self.likelihood, self._rounding
        )

    @cached_property
    def _centred(self) -> Tensor:  # (B, C, C)
        """Gram matrix of the rows minus their mean, for exclusive classes.

        It depends on no class, and its null vector 1 is exact instead of rounding noise.
        """
        if not self._omitted:
            return self._products
        gram = torch.nn.functional.pad(self._products, (1, 0, 1, 0))
        for _ in range(2):
            gram = (gram - gram.mean(1, keepdim=True)).mT
        return gram


def _eigenvalues(matrices: Tensor) -> Tensor:
    """Return the eigenvalues of symmetric matrices, ascending, on their device."""
    values: Tensor = torch.linalg.eigvalsh(matrices.cpu())
    return values.to(matrices.device)
