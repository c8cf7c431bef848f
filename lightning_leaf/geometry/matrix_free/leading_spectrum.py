"""The largest eigenvalues of G for many classes, and what they leave unresolved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.geometry.effective_rank import RankKind, effective_rank
from lightning_leaf.geometry.matrix_free.krylov import leading_ritz_values
from lightning_leaf.geometry.matrix_free.products import Products

MAX_PRODUCTS = 160
"""More would cost as much as a few hundred classes taken one by one."""


@dataclass(frozen=True)
class LeadingSpectrum:
    """The k largest eigenvalues of G for every input of a batch, and an estimate of the others.

    Attributes:
        eigenvalues: Descending, ``(B, k)``, float64. They are never above the true ones.
        error_bound: G has an eigenvalue within so much of each, ``(B, k)``.
        others: Ritz values beyond the k, ``(B, m)``, which stand for the rest of the spectrum.
        multiplicities: How many eigenvalues each of them stands for, on average, ``(B, m)``
            (stochastic Lanczos quadrature, Ubaru, Chen & Saad 2017).
        products: Products with G that it took, for each input.
    """

    eigenvalues: Tensor
    error_bound: Tensor
    others: Tensor
    multiplicities: Tensor
    products: int

    def unresolved(self, trace: Tensor) -> Tensor:  # (B,) -> (B,)
        """The share of the trace that is not in the k eigenvalues, between 0 and 1."""
        exists = trace > 0
        share = 1 - self.eigenvalues.sum(1) / torch.where(exists, trace, 1)
        return torch.where(exists, share.clamp(0, 1), 0)

    def effective_rank(self, trace: Tensor, kind: RankKind = "entropy") -> Tensor:  # (B,)
        """Effective rank of the k eigenvalues and, in estimated shares, the rest of the trace.

        Where nearly all of the trace is in the k eigenvalues it is nearly exact; else
        :meth:`unresolved` tells how much of it is an estimate.
        """
        rest = (trace - self.eigenvalues.sum(1)).clamp_min(0).unsqueeze(1)
        estimated = (self.others * self.multiplicities).sum(1, keepdim=True)
        scale = torch.where(estimated > 0, rest / torch.where(estimated > 0, estimated, 1), 0)
        values = torch.cat([self.eigenvalues, self.others], dim=1)
        counts = torch.cat([torch.ones_like(self.eigenvalues), self.multiplicities * scale], dim=1)
        return effective_rank(values, kind, multiplicity=counts)


def leading_spectrum(
    products: Products, count: int, rtol: float, generators: list[torch.Generator]
) -> LeadingSpectrum:
    """The ``count`` largest eigenvalues to ``rtol`` of each, by a Krylov space of K = AAᵀ."""
    found = leading_ritz_values(
        products.gram_product,
        products.weights.null,
        count,
        rtol=rtol,
        floor=8 * products.rounding,
        max_products=MAX_PRODUCTS,
        generators=generators,
    )
    return LeadingSpectrum(
        eigenvalues=found.values[:, :count],
        error_bound=found.residuals[:, :count],
        others=found.values[:, count:],
        multiplicities=found.weights[:, count:],
        products=found.products,
    )
