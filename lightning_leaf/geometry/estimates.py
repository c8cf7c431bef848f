"""Results of a measurement of G that may be estimates: its trace and its leading eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.geometry.effective_rank import effective_rank
from lightning_leaf.geometry.rank_kinds import RankKind


@dataclass(frozen=True)
class TraceEstimate:
    """An unbiased estimate of tr G for every input of a batch.

    Attributes:
        value: Estimates, ``(B,)``, float64, in units of 1 / input².
        standard_error: Standard errors of the estimates, ``(B,)``; zero for exact values.
        draws: Number of backward passes for each input.
    """

    value: Tensor
    standard_error: Tensor
    draws: int


@dataclass(frozen=True)
class LeadingSpectrum:
    """The k largest eigenvalues of G for every input of a batch, and an estimate of the others.

    Attributes:
        eigenvalues: The k largest, descending, ``(B, k)``, float64. Estimates are lower bounds.
        error_bound: G has an eigenvalue within this distance of each, ``(B, k)``.
        others: Ritz values beyond the k, ``(B, m)``, which represent the rest of the spectrum.
        multiplicities: Average number of eigenvalues that each of them represents, ``(B, m)``
            (stochastic Lanczos quadrature, Ubaru, Chen & Saad 2017).
        products: Number of products with G for each input; zero for exact eigenvalues.
    """

    eigenvalues: Tensor
    error_bound: Tensor
    others: Tensor
    multiplicities: Tensor
    products: int

    def unresolved(self, trace: Tensor) -> Tensor:  # (B,) -> (B,)
        """Return the share of the trace that is not in the k eigenvalues, between 0 and 1."""
        positive = trace > 0
        share = 1 - self.eigenvalues.sum(1) / torch.where(positive, trace, 1)
        return torch.where(positive, share.clamp(0, 1), 0)

    def effective_rank(self, trace: Tensor, kind: RankKind = "entropy") -> Tensor:  # (B,)
        """Return the effective rank of the k eigenvalues and of estimates for the others.

        The estimated eigenvalues are scaled so that all eigenvalues add up to the trace. The result
        is nearly exact if the k eigenvalues hold nearly all of the trace; :meth:`unresolved`
        returns the share that is estimated.

        Args:
            trace: Trace of G, ``(B,)``.
            kind: Which effective rank, see :func:`effective_rank`.
        """
        rest = (trace - self.eigenvalues.sum(1)).clamp_min(0).unsqueeze(1)
        estimated = (self.others * self.multiplicities).sum(1, keepdim=True)
        scale = torch.where(estimated > 0, rest / torch.where(estimated > 0, estimated, 1), 0)
        values = torch.cat([self.eigenvalues, self.others], dim=1)
        counts = torch.cat([torch.ones_like(self.eigenvalues), self.multiplicities * scale], dim=1)
        return effective_rank(values, kind, multiplicity=counts)
