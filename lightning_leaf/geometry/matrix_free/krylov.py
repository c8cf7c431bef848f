"""Leading eigenvalues of many matrices at once, by a block Krylov method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.errors import NonFiniteError

BLOCK = 4
"""Vectors that a step adds: eigenvalues that coincide up to so many times are all found."""


@dataclass(frozen=True)
class RitzValues:
    """What a Krylov space knows of the spectrum of every matrix K of a batch.

    Attributes:
        values: Ritz values, descending, ``(B, m)``: λ_i ≥ θ_i.
        vectors: Ritz vectors, unit, in their columns, ``(B, C, m)``.
        residuals: ‖K y_i − θ_i y_i‖, ``(B, m)``: K has an eigenvalue as near as this to θ_i.
        weights: Of every Ritz value in the trace of a function of K: E Σ_i w_i f(θ_i) ≈ tr f(K)
            (stochastic Lanczos quadrature, Ubaru, Chen & Saad 2017), ``(B, m)``.
        products: Products with K that it took, for each matrix of the batch.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    weights: Tensor
    products: int


def leading_ritz_values(
    product: Callable[[Tensor], Tensor],  # (B, C) -> (B, C)
    null: Tensor,  # (B, C)
    count: int,
    rtol: float,
    floor: float,
    max_products: int,
    generators: list[torch.Generator],
) -> RitzValues:
    """Ritz values of positive semi-definite matrices until the first ``count`` are accurate.

    Musco & Musco 2015, "Randomized block Krylov methods"; orthogonality is kept by projecting
    twice, so that no eigenvalue is found more often than it occurs.

    Args:
        product: v ↦ K v for every matrix of the batch, float64.
        null: A unit vector of each that K sends to zero and that is left out.
        count: Leading eigenvalues wanted, at most C − 1.
        rtol: The largest residual allowed, relative to each of them.
        floor: Of the residuals relative to the largest: what rounding leaves of the products.
        max_products: Products with K to stop at, whatever has been reached.
        generators: Of the starting vectors, one for each matrix, on the CPU.
    """
    batch, size = null.shape
    space = min(max_products, size - 1)
    start = _random(null, min(BLOCK, space), generators)
    block, triangle = torch.linalg.qr(start)  # (B, C, b), (B, b, b)
    basis, images = block, null.new_empty(batch, size, 0)
    while True:
        new = torch.stack([product(column) for column in block.unbind(-1)], dim=-1)
        if not bool(new.isfinite().all()):
            raise NonFiniteError(
                "Expected finite derivatives; the products with G hold NaN or infinity. Check "
                "whether the training has diverged."
            )
        images = torch.cat([images, new], dim=-1)  # (B, C, m)
        found = _rayleigh_ritz(basis, images, triangle)
        leading, residuals = found.values[:, :count], found.residuals[:, :count]
        small = residuals <= (rtol * leading).clamp_min(floor * leading[:, :1])
        taken = basis.shape[-1]
        if taken >= space or (taken >= count and bool(small.all())):
            return found
        width = min(BLOCK, space - taken)
        block = _orthogonal(new[..., -width:], torch.cat([null.unsqueeze(-1), basis], dim=-1))
        basis = torch.cat([basis, block], dim=-1)


def _random(null: Tensor, width: int, generators: list[torch.Generator]) -> Tensor:
    """Normal vectors without their part along ``null``, (B, C, width)."""
    drawn = [
        torch.randn(null.shape[1], width, generator=generator, dtype=null.dtype)
        for generator in generators
    ]
    start = torch.stack(drawn).to(null.device)
    axis = null.unsqueeze(-1)
    return start - axis @ (axis.mT @ start)


def _orthogonal(block: Tensor, basis: Tensor) -> Tensor:
    """An orthonormal basis of what the block adds to an orthonormal one."""
    for _ in range(2):  # "twice is enough": what the first leaves may be all rounding
        block = block - basis @ (basis.mT @ block)
        block, _ = torch.linalg.qr(block)
    return block


def _rayleigh_ritz(basis: Tensor, images: Tensor, triangle: Tensor) -> RitzValues:
    projected = basis.mT @ images  # (B, m, m)
    values, rotation = torch.linalg.eigh(0.5 * (projected + projected.mT))
    values, rotation = values.flip(-1).clamp_min(0), rotation.flip(-1)
    vectors = basis @ rotation
    residuals = torch.linalg.vector_norm(images @ rotation - vectors * values.unsqueeze(1), dim=1)
    # The starting vectors are the first columns of the basis times the triangle.
    width = triangle.shape[-1]
    coefficients = rotation[:, :width].mT @ triangle  # (B, m, b)
    weights = coefficients.square().mean(-1)
    return RitzValues(values, vectors, residuals, weights, basis.shape[-1])
