"""Projections on the row spaces of matrices that change little from one to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.inverse_gram import InverseGram
from lightning_leaf.geometry.matrix_free.point_projection import TINY, dots
from lightning_leaf.geometry.matrix_free.products import Products

FURTHER_ITERATIONS = 1
"""Iterations between two reads of the error, which make the host wait for the accelerator."""
FIRST_SCALE = 1000
"""H in directions that are not known yet, relative to the inverse in the first direction. With a
smaller value, the rounding noise of the known directions hides the others."""
ROUNDING_ERRORS = 32
"""Singular value at which a direction has half of its weight, in units of ε·σ: the rounding error
of the products times the typical singular value. Rounding noise has about one or two of these
units."""
SAFETY = 2
"""Factor by which the estimate of the error is multiplied."""


class RecycledProjection:
    """The projection Πv on the row space of M, for every path, started from an earlier inverse.

    Each iteration takes a product with Mᵀ and one with M. A direction whose singular value σ is
    rounding noise says nothing of Πv, and 1/σ² would make H arbitrarily large; H is therefore
    the inverse of M Mᵀ + δI, which weights a direction by σ² / (σ² + δ). Directions come to be
    noise where M is rank-deficient, and where a unit of a network changes its sign along a path.

    The error ‖Πv − w‖² of the projection w found so far is rᵀ(M Mᵀ)⁺r with r = M (v − w), and is
    estimated by rᵀH r. The estimate is too small where a singular value has become much smaller
    than H knows, as at the kink of a leaky ReLU. The direction can then be missing in w, which
    lies in the row space all the same.

    A path whose error is a third of what is allowed does not change any more: its r is rounding
    noise, which would spoil H.

    Args:
        products: Products at the present points.
        inverse: H, which is improved.
        v: Vectors to project, ``(n, d)``, float64.
        rtol: Error to allow, relative to Πv.
        max_iterations: Largest number of iterations.
        free: Boolean mask of the coordinates that may change; None for all.
        scale: Squared lengths, ``(n,)``, to which errors are relative if they exceed ‖Πv‖²; None
            for Πv alone.

    Attributes:
        rejection: v − w, ``(n, d)``.
        projection: w, ``(n, d)``, which lies in the row space.
        residual: rᵀH r at the start, ``(n,)``; it is finite where the derivatives are finite.
        iterations: Number of iterations.
    """

    def __init__(
        self,
        products: Products,
        inverse: InverseGram,
        v: Tensor,
        rtol: float,
        max_iterations: int,
        free: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        self._products = products
        self._inverse = inverse
        self._free = free
        self._tolerance = (rtol / SAFETY) ** 2
        self.rejection = v
        self.iterations = 0
        self._r = products.along(v, free)
        self._is_new = inverse.is_new
        if self._is_new:
            # Then Mᵀp is as long as v, whatever the scale of M, and does not underflow.
            square = dots(self._r, self._r)
            self._scale_new(dots(v, v) / torch.where(square > 0, square, 1))
        self._p = inverse @ self._r
        self._error = self.residual = dots(self._r, self._p)
        # ‖w‖², and the scale
        self._unit = torch.zeros_like(self._error) if scale is None else scale
        self._relative = self._error / self._unit
        self._damping: Tensor  # δ, known with the first products
        if self._is_new:
            self._least = torch.full_like(self._error, torch.inf)  # smallest σ² that was resolved
        count = inverse.expected
        while count:
            history = [self._iterate() for _ in range(min(count, max_iterations - self.iterations))]
            count = 0 if self._is_done(history, max_iterations) else FURTHER_ITERATIONS
        if self._is_new:
            self._remember_scale()
        inverse.age += 1
        self.projection = v - self.rejection

    def _iterate(self) -> Tensor:  # -> (n,)
        """Make one iteration, and return the estimated relative error² after it."""
        inverse, p, error = self._inverse, self._p, self._error
        q = self._products.combined(p, self._free)  # Mᵀp
        y = self._products.along(q, self._free)
        square = dots(q, q)
        if not self.iterations:  # q is nearly Πv
            noise = (ROUNDING_ERRORS * self._products.rounding) ** 2
            self._damping = noise * dots(y, y) / square.clamp_min(TINY)
        active = self._relative > self._tolerance / 9
        curvature = torch.where(active, square.addcmul(self._damping, dots(p, p)), torch.inf)
        y = y.addcmul(self._damping.unsqueeze(1), p)
        length = (error / curvature).unsqueeze(1)
        self.rejection = torch.addcmul(self.rejection, length, q, value=-1)
        self._r = torch.addcmul(self._r, length, y, value=-1)
        if self._is_new:
            quotient = curvature / dots(p, p)
            self._least = torch.minimum(self._least, quotient)
            if not self.iterations:
                now = dots(p, p) / error  # H is this multiple of the identity
                self._scale_new(FIRST_SCALE * curvature / (dots(y, y) * now))
        self._p = inverse.update(p, y, curvature, self._r)
        self._unit = torch.addcmul(self._unit, error, length.squeeze(1))
        self._error = dots(self._r, self._p)
        self._relative = self._error / self._unit
        self.iterations += 1
        if not self._is_new:
            return self._relative
        # H underestimates the inverse in directions that it has not seen yet.
        bound = dots(self._r, self._r) / (self._least * self._unit)
        return torch.maximum(self._relative, bound.where(active, 0))

    def _is_done(self, history: list[Tensor], max_iterations: int) -> bool:
        """Return whether all paths have converged; the only time that the host waits."""
        errors = torch.stack(history).cpu()  # (iterations, n)
        converged = ~(errors > self._tolerance).any(1)  # NaN has nothing to wait for
        if not converged[-1]:
            return self.iterations >= max_iterations
        if not (self._inverse.age < 2).any():
            needed = self.iterations - len(errors) + 1 + int(converged.int().argmax())
            self._inverse.needed = [*self._inverse.needed[-1:], needed]
        return True

    def _scale_new(self, factor: Tensor) -> None:  # (n,)
        """Multiply H of the new paths by a factor, where that is finite."""
        new = self._new_paths()
        scale = torch.ones_like(factor)
        scale[new] = factor[new]
        usable = scale.isfinite() & (scale > 0)
        self._inverse.scale(scale.where(usable, 1))

    def _remember_scale(self) -> None:
        """Let new paths begin again with H as large as the inverse was found to be."""
        scale = self._least.reciprocal()
        usable = scale.isfinite() & (scale > 0)
        self._inverse.restart(self._new_paths(), scale.where(usable, 1))

    def _new_paths(self) -> Tensor:
        new = (self._inverse.age == 0).nonzero()[0]
        return torch.from_numpy(new).to(self._r.device)

    def guess(self, r: Tensor) -> Tensor:
        """Return H r."""
        return self._inverse @ r
