"""Leading eigenvalues of many matrices at once, by a block Krylov method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.errors import NonFiniteError

BLOCK = 4
"""Vectors added at once: eigenvalues with a multiplicity of up to 4 are all found."""


@dataclass(frozen=True)
class RitzValues:
    """Approximations of the spectrum of every matrix K of a batch from a Krylov space.

    Attributes:
        values: Ritz values θ_i ≤ λ_i, descending, ``(B, m)``.
        residuals: ‖K y_i − θ_i y_i‖ with the Ritz vectors y_i, ``(B, m)``. K has an eigenvalue
            within this distance of θ_i.
        weights: Weights w_i of the Ritz values with E Σ_i w_i f(θ_i) ≈ tr f(K), for functions f
            (stochastic Lanczos quadrature, Ubaru, Chen & Saad 2017), ``(B, m)``.
        products: Number of products with K, for each matrix of the batch.
    """

    values: Tensor
    residuals: Tensor
    weights: Tensor
    products: int


def leading_ritz_values(
    product: Callable[[Tensor], Tensor],  # (B, C) -> (B, C)
    null: Tensor,  # (B, C, n)
    count: int,
    rtol: float,
    floor: float,
    max_products: int,
    generators: list[torch.Generator],
) -> RitzValues:
    """Return Ritz values of positive semi-definite matrices whose first ``count`` are accurate.

    Musco & Musco 2015, "Randomized block Krylov methods". Each block is orthogonalized twice, so
    that rounding does not make copies of eigenvalues.

    Args:
        product: v ↦ K v for every matrix of the batch, float64.
        null: Orthonormal vectors in the kernel of each K, which the Krylov space excludes.
        count: Number of leading eigenvalues, at most C − n.
        rtol: Largest residual allowed, relative to each of them.
        floor: Smallest residual to require, relative to the largest eigenvalue: the rounding error
            of the products.
        max_products: Largest number of products with K.
        generators: Generators of the starting vectors, one for each matrix, on the CPU.
    """
    batch, size, nullity = null.shape
    space = min(max_products, size - nullity)
    start = _random(null, min(BLOCK, space), generators)
    block, triangle = torch.linalg.qr(start)  # (B, C, b), (B, b, b)
    basis, images = block, null.new_empty(batch, size, 0)
    while True:
        new = torch.stack([product(column) for column in block.unbind(-1)], dim=-1)
        if not bool(new.isfinite().all()):
            raise NonFiniteError(
                "Expected finite derivatives; the products with G contain NaN or infinity. Check "
                "whether the training has diverged."
            )
        images = torch.cat([images, new], dim=-1)  # (B, C, m)
        ritz = _rayleigh_ritz(basis, images, triangle)
        leading, residuals = ritz.values[:, :count], ritz.residuals[:, :count]
        accurate = residuals <= (rtol * leading).clamp_min(floor * leading[:, :1])
        size_so_far = basis.shape[-1]
        if size_so_far >= space or (size_so_far >= count and bool(accurate.all())):
            return ritz
        width = min(BLOCK, space - size_so_far)
        block = _orthogonal(new[..., -width:], torch.cat([null, basis], dim=-1))
        basis = torch.cat([basis, block], dim=-1)


def _random(null: Tensor, width: int, generators: list[torch.Generator]) -> Tensor:
    """Return normal random vectors orthogonal to ``null``, (B, C, width)."""
    drawn = [
        torch.randn(null.shape[1], width, generator=generator, dtype=null.dtype)
        for generator in generators
    ]
    start = torch.stack(drawn).to(null.device)
    return start - null @ (null.mT @ start)


def _orthogonal(block: Tensor, basis: Tensor) -> Tensor:
    """Return an orthonormal basis of the part of the block that is orthogonal to a basis."""
    for _ in range(2):  # the result of the first time can be mostly rounding
        block = block - basis @ (basis.mT @ block)
        block, _ = torch.linalg.qr(block)
    return block


def _rayleigh_ritz(basis: Tensor, images: Tensor, triangle: Tensor) -> RitzValues:
    projected = basis.mT @ images  # (B, m, m)
    values, rotation = torch.linalg.eigh(0.5 * (projected + projected.mT))
    values, rotation = values.flip(-1).clamp_min(0), rotation.flip(-1)
    vectors = basis @ rotation
    residuals = torch.linalg.vector_norm(images @ rotation - vectors * values.unsqueeze(1), dim=1)
    # The starting vectors equal the first columns of the basis times the triangle.
    width = triangle.shape[-1]
    coefficients = rotation[:, :width].mT @ triangle  # (B, m, b)
    weights = coefficients.square().mean(-1)
    return RitzValues(values, residuals, weights, basis.shape[-1])
