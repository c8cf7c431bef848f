"""A projection on D_x by products, and the share of other vectors at the same point."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.products import Products

TINY = torch.finfo(torch.float64).tiny


class PointProjection(Protocol):
    """The projection w of a vector v on D_x at one point of every path.

    Attributes:
        projection: w, ``(n, d)``, which lies in D_x.
        rejection: v − w, ``(n, d)``.
        residual: A number for each path, ``(n,)``, that is finite where the derivatives are.
    """

    projection: Tensor
    rejection: Tensor
    residual: Tensor

    def guess(self, r: Tensor) -> Tensor:  # (n, C) -> (n, C)
        """Return a guess of (M Mᵀ)⁺r."""


class SingleProjection:
    """A projection for which nothing is known of other points.

    Args:
        products: Products at the present points.
        v: Vectors to project, ``(n, d)``, float64.
        rtol: Error to allow, relative to Πv.
        max_iterations: Largest number of iterations.
        free: Boolean mask of the coordinates that may change; None for all.
    """

    def __init__(
        self,
        products: Products,
        v: Tensor,
        rtol: float,
        max_iterations: int,
        free: Tensor | None = None,
    ) -> None:
        self.projection = products.project(v, rtol, max_iterations, free).projection
        self.rejection = v - self.projection
        self.residual = products.combined(torch.ones_like(products.log_probs)).sum(1)

    def guess(self, r: Tensor) -> Tensor:
        """Return r: nothing is known of the inverse."""
        return r


class LiftedVector:
    """A vector that lies in D_x, as a lift does, for which nothing else is known of D_x.

    Args:
        v: The vectors, ``(n, d)``, float64.
    """

    def __init__(self, v: Tensor) -> None:
        self.projection = v
        self.rejection = torch.zeros_like(v)
        self.residual = v.sum(1)

    def guess(self, r: Tensor) -> Tensor:
        """Return r: nothing is known of the inverse."""
        return r


def square_of(v: Tensor, found: PointProjection, products: Products) -> Tensor:
    """Return ‖Πv‖² of a vector whose part across w is nearly in D_x or nearly across it, ``(n,)``.

    The part of v along w is known. Of the rest, one iteration finds the square, with the square of
    the relative error of the guess, and without waiting for the accelerator.

    Args:
        v: One vector for each path, ``(n, d)``.
        found: A projection at the same point.
        products: The products with which it was found.
    """
    along, rest = parts_of(v, found)
    r = products.along(rest)
    p = found.guess(r)
    q = products.combined(p)
    square = dots(r, p).square() / dots(q, q).clamp_min(TINY)
    return along + torch.minimum(square, dots(rest, rest))


def parts_of(v: Tensor, found: PointProjection) -> tuple[Tensor, Tensor]:  # -> (n,), (n, d)
    """Return the squared length of the part of v along w, and the rest of v."""
    w = found.projection
    product, square = dots(v, w), dots(w, w).clamp_min(TINY)
    rest = torch.addcmul(v, (product / square).unsqueeze(1), w, value=-1)
    return product.square() / square, rest


def dots(a: Tensor, b: Tensor) -> Tensor:  # (n, k), (n, k) -> (n,)
    """Return the inner product of every row, in one operation."""
    return (a.unsqueeze(1) @ b.unsqueeze(2)).flatten()
