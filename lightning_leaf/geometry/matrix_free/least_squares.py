"""Least squares with products only: the projection on a row space, for a batch at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_WINDOW = 4
"""Iterations from whose progress the rest is estimated, at least."""


@dataclass(frozen=True)
class RowSpaceProjection:
    """The projection Mᵀc of v on the row space of M, for every system of a batch.

    Attributes:
        coefficients: c, ``(B, C)``.
        projection: Mᵀc, ``(B, d)``, float64: in the row space whatever its error.
        error: Estimated ‖Mᵀc − Πv‖, relative to ‖Πv‖ where nothing else was asked, ``(B,)``.
        iterations: Of one product with M and one with Mᵀ each.
    """

    coefficients: Tensor
    projection: Tensor
    error: Tensor
    iterations: int

    def select(self, rows: Tensor) -> RowSpaceProjection:
        """Those of some of the systems."""
        coefficients, projection = self.coefficients[rows], self.projection[rows]
        return RowSpaceProjection(coefficients, projection, self.error[rows], self.iterations)

    def extended(self, count: int) -> RowSpaceProjection:
        """With so many more systems, of which nothing is known."""
        parts = (self.coefficients, self.projection, self.error)
        coefficients, projection, error = (
            torch.cat([part, part.new_zeros(count, *part.shape[1:])]) for part in parts
        )
        return RowSpaceProjection(coefficients, projection, error, self.iterations)


def project_on_rows(
    forward: Callable[[Tensor], Tensor],  # (B, d) -> (B, C)
    transposed: Callable[[Tensor], Tensor],  # (B, C) -> (B, d)
    v: Tensor,  # (B, d)
    *,
    rtol: float,
    max_iterations: int,
    rounding: float,
    start: RowSpaceProjection | None = None,
    scale: Tensor | None = None,  # (B,)
) -> RowSpaceProjection:
    r"""Conjugate gradients for min_c ‖Mᵀc − v‖ (CGLS, Hestenes & Stiefel 1952, section 10).

    Residuals in class space are kept orthogonal to all earlier ones, so that rounding does not
    delay convergence. It finds the directions with large singular values first and needs no rank:
    stopping early leaves the directions out that change predictions least.

    The squared error ‖Πv − Mᵀc_k‖² is the sum of the decreases α_j ‖r_j‖² that are still to come.
    It is estimated by continuing the geometric series that the two last windows of them make; where
    progress comes in jumps, it can be a few times too small.

    Args:
        forward: x ↦ M x.
        transposed: c ↦ Mᵀc.
        v: What to project, float64.
        rtol: Estimated error, relative to the projection, at which to stop.
        max_iterations: Iterations to stop at, whatever has been reached.
        rounding: Of the rows, relative: directions in which Mᵀ shrinks vectors to less than C
            times as much of what it makes of others are no rows but their rounding.
        start: A solution for a similar M and v.
        scale: What errors are relative to where it exceeds the projection, ‖v‖ say.
    """
    projection = torch.zeros_like(v) if start is None else transposed(start.coefficients).double()
    # Of the solution for something similar, the multiple that is nearest to v.
    factor = _ratio((projection * v).sum(1), projection.square().sum(1)).unsqueeze(1)
    projection = factor * projection
    rest = v - projection  # (B, d)
    residual = forward(rest).double()  # (B, C)
    coefficients = torch.zeros_like(residual) if start is None else factor * start.coefficients
    square = residual.square().sum(1)
    direction = residual
    cut = (residual.shape[1] * rounding) ** 2
    largest = torch.zeros_like(square)
    alive = square > 0
    earlier: list[Tensor] = []
    decreases: list[Tensor] = []
    gained = projection.square().sum(1)
    least = torch.zeros_like(square) if scale is None else scale.square()
    error = _at_most(rest, gained.maximum(least))
    while bool((error > rtol).any()):
        step = transposed(direction).double()  # (B, d)
        curvature = step.square().sum(1)
        quotient = _ratio(curvature, direction.square().sum(1))
        largest = torch.maximum(largest, quotient)
        alive = alive & (quotient > cut * largest)
        length = torch.where(alive, _ratio(square, curvature), 0).unsqueeze(1)
        coefficients = coefficients + length * direction
        projection = projection + length * step
        rest = rest - length * step
        decreases.append(length.squeeze(1) * square)
        gained = gained + decreases[-1]
        unit = gained.maximum(least)
        error = torch.minimum(_estimated_error(decreases, unit), _at_most(rest, unit))
        if len(decreases) == max_iterations or not bool((error > rtol).any()):
            break  # before a product that nobody would use
        earlier.append(residual * _ratio(torch.ones_like(square), square.sqrt()).unsqueeze(1))
        following = _without(forward(rest).double(), torch.stack(earlier, dim=-1))
        following_square = following.square().sum(1)
        direction = following + _ratio(following_square, square).unsqueeze(1) * direction
        residual, square = following, following_square
    return RowSpaceProjection(coefficients, projection, error, len(decreases))


def _without(vector: Tensor, basis: Tensor) -> Tensor:  # (B, C), (B, C, m) -> (B, C)
    for _ in range(2):
        overlap = torch.einsum("bcm,bc->bm", basis, vector)
        vector = vector - torch.einsum("bcm,bm->bc", basis, overlap)
    return vector


def _at_most(rest: Tensor, unit: Tensor) -> Tensor:
    """A projection lacks no more than it leaves of v: nothing, where v is tangent itself."""
    left = torch.linalg.vector_norm(rest, dim=1)
    return torch.where((unit > 0) | (left == 0), _ratio(left, unit.sqrt()), torch.inf)


def _estimated_error(decreases: list[Tensor], unit: Tensor) -> Tensor:
    window = max(MIN_WINDOW, len(decreases) // 4)
    if len(decreases) < 2 * window:
        # A system that is solved exactly by fewer iterations has nothing left to gain.
        solved = decreases[-1] <= torch.finfo(unit.dtype).eps * unit
        return torch.where(solved, 0.0, torch.inf)
    recent = torch.stack(decreases[-window:]).sum(0)
    before = torch.stack(decreases[-2 * window : -window]).sum(0)
    # A plateau that hides behind fast progress: never less ahead than the last window brought.
    shrinking = _ratio(recent, before).clamp(0.5, 0.999)
    ahead = recent * shrinking / (1 - shrinking)
    return _ratio(ahead, unit).sqrt()


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Zero where there is nothing to divide by."""
    exists = denominator > 0
    return torch.where(exists, numerator / torch.where(exists, denominator, 1), 0)
