"""The largest eigenvalues of G for many classes, by a Krylov space of K = AAᵀ."""

from __future__ import annotations

import torch

from lightning_leaf.geometry.estimates import LeadingSpectrum
from lightning_leaf.geometry.matrix_free.krylov import leading_ritz_values
from lightning_leaf.geometry.matrix_free.products import Products

MAX_PRODUCTS = 160
"""More products would cost as much as one backward pass for each of a few hundred classes."""


def leading_spectrum(
    products: Products, count: int, rtol: float, generators: list[torch.Generator]
) -> LeadingSpectrum:
    """Return the ``count`` largest eigenvalues, each to a relative error of ``rtol``.

    Args:
        products: Products with the matrices.
        count: Number of eigenvalues, at most C.
        rtol: Relative error of each eigenvalue at which to stop.
        generators: Generators of the starting vectors, one for each input, on the CPU.
    """
    null = products.weights.null
    nonzero = min(count, null.shape[1] - null.shape[2])
    ritz = leading_ritz_values(
        products.gram_product,
        null,
        nonzero,
        rtol=rtol,
        floor=8 * products.rounding,
        max_products=MAX_PRODUCTS,
        generators=generators,
    )
    # The Krylov space excludes null vectors, whose eigenvalues are exactly zero.
    pad = torch.nn.functional.pad
    return LeadingSpectrum(
        eigenvalues=pad(ritz.values[:, :nonzero], (0, count - nonzero)),
        error_bound=pad(ritz.residuals[:, :nonzero], (0, count - nonzero)),
        others=ritz.values[:, nonzero:],
        multiplicities=ritz.weights[:, nonzero:],
        products=ritz.products,
    )
