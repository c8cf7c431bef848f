"""Projections on the row spaces of matrices that change little from one to the next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.products import Products

FIRST_ITERATIONS = 8
"""Iterations before the error is first read, while nothing is known of the matrix."""
FURTHER_ITERATIONS = 2
"""Iterations between two reads of the error, which make the host wait for the accelerator."""
FIRST_SCALE = 1000
"""H in directions that are not known yet, relative to the inverse in the first direction. With a
smaller value, the rounding noise of the known directions hides the others."""
SAFETY = 2
"""Factor by which the estimate of the error is multiplied."""


class InverseGram:
    """Approximations H of (M Mᵀ)⁺ of a batch of paths, C×C, from all products so far.

    Every product y = M Mᵀp tells the inverse in one direction: H y = p. H is the one of Broyden,
    Fletcher, Goldfarb and Shanno (Nocedal & Wright 2006, section 6.1), which forgets what the
    newest products contradict. For one matrix, the iterations p = H r are those of conjugate
    gradients (Nazareth 1979). Along a path, H is nearly the inverse from the start, and a few
    iterations are enough instead of one for each direction.

    Args:
        paths: Number of paths, n.
        classes: C.
        device: Where to compute.

    Attributes:
        matrix: H, ``(n, C, C)``, float64.
        age: Number of projections of each path that have contributed, on the host.
        needed: Iterations that the last projections needed.
    """

    def __init__(self, paths: int, classes: int, device: torch.device) -> None:
        eye = torch.eye(classes, dtype=torch.float64, device=device)
        self.matrix = eye.repeat(paths, 1, 1)
        self.age = np.zeros(paths, dtype=np.int64)
        self.needed: list[int] = []

    def arranged(self, matrix: Tensor, age: np.ndarray) -> InverseGram:
        """Return one of other paths."""
        inverse = InverseGram(0, matrix.shape[-1], matrix.device)
        inverse.matrix, inverse.age, inverse.needed = matrix, age, self.needed
        return inverse

    def select(self, rows: Tensor) -> InverseGram:
        """Return that of some of the paths."""
        return self.arranged(self.matrix[rows], self.age[rows.cpu().numpy()])

    def extended(self, count: int) -> InverseGram:
        """Return that of these paths followed by ``count`` new ones."""
        new = InverseGram(count, self.matrix.shape[-1], self.matrix.device)
        return self.arranged(
            torch.cat([self.matrix, new.matrix]), np.concatenate([self.age, new.age])
        )

    def __matmul__(self, r: Tensor) -> Tensor:  # (n, C) -> (n, C)
        """Return H r."""
        return (self.matrix @ r.unsqueeze(-1)).squeeze(-1)

    def scale(self, factor: Tensor) -> None:  # (n,)
        """Multiply H of every path."""
        self.matrix.mul_(factor[:, None, None])

    def restart(self, paths: Tensor, factor: Tensor) -> None:  # (k,), (n,)
        """Forget H of some paths, but for a multiple of the identity."""
        eye = torch.eye(self.matrix.shape[-1], dtype=torch.float64, device=self.matrix.device)
        self.matrix[paths] = eye * factor[paths, None, None]

    def update(self, p: Tensor, y: Tensor, curvature: Tensor) -> None:
        """Change H so that H y = p.

        Args:
            p: A direction, ``(n, C)``.
            y: M Mᵀp, ``(n, C)``.
            curvature: p·y, ``(n,)``; infinite for a path that does not change.
        """
        image = self @ y
        rate = curvature.reciprocal().unsqueeze(1)
        half = rate.addcmul(rate * rate, dots(y, image).unsqueeze(1)).mul_(0.5)
        u = torch.addcmul(half * p, rate, image, value=-1)
        self.matrix.baddbmm_(u.unsqueeze(2), p.unsqueeze(1))
        self.matrix.baddbmm_(p.unsqueeze(2), u.unsqueeze(1))

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of some path."""
        return bool((self.age == 0).any())

    @property
    def expected(self) -> int:
        """The number of iterations that the next projection will probably need."""
        return FIRST_ITERATIONS if self.is_new or not self.needed else max(self.needed)


class RecycledProjection:
    """The projection Πv on the row space of M, for every path, started from an earlier inverse.

    Each iteration takes a product with Mᵀ and one with M. The error ‖Πv − w‖² of the projection w
    found so far is rᵀ(M Mᵀ)⁺r with r = M (v − w), and is estimated by rᵀH r. A path whose error is
    a third of what is allowed does not change any more: its r is rounding noise, which would spoil
    H.

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
        self._p = inverse @ self._r
        self._error = self.residual = dots(self._r, self._p)
        # ‖w‖², and the scale
        self._unit = torch.zeros_like(self._error) if scale is None else scale
        self._least = torch.full_like(self._error, torch.inf)  # smallest σ² that was resolved
        self._is_new = inverse.is_new
        count = inverse.expected
        while count:
            history = [self._iterate() for _ in range(min(count, max_iterations - self.iterations))]
            count = 0 if self._is_done(history, max_iterations) else FURTHER_ITERATIONS
        if self._is_new:
            self._remember_scale()
        inverse.age += 1
        self.projection = v - self.rejection

    def _iterate(self) -> Tensor:  # -> (2, n)
        """Make one iteration, and return the estimated error² and its unit after it."""
        inverse, p, error = self._inverse, self._p, self._error
        q = self._products.combined(p, self._free)  # Mᵀp
        active = error > self._tolerance / 9 * self._unit
        curvature = torch.where(active, dots(q, q), torch.inf)
        length = (error / curvature).unsqueeze(1)
        self.rejection = torch.addcmul(self.rejection, length, q, value=-1)
        y = self._products.along(q, self._free)
        self._r = torch.addcmul(self._r, length, y, value=-1)
        if self._is_new:
            quotient = curvature / dots(p, p)
            self._least = torch.minimum(self._least, quotient)
            if not self.iterations:
                self._set_first_scale(curvature, y)
        inverse.update(p, y, curvature)
        self._unit = torch.addcmul(self._unit, error, length.squeeze(1))
        self._p = inverse @ self._r
        self._error = dots(self._r, self._p)
        self.iterations += 1
        if not self._is_new:
            return torch.stack([self._error, self._unit])
        # H underestimates the inverse in directions that it has not seen yet.
        bound = dots(self._r, self._r) / self._least
        return torch.stack([torch.maximum(self._error, bound), self._unit])

    def _is_done(self, history: list[Tensor], max_iterations: int) -> bool:
        """Return whether all paths have converged; the only time that the host waits."""
        errors, units = torch.stack(history, dim=1).cpu().numpy()  # (iterations, n) each
        converged = ~(errors > self._tolerance * units).any(1)  # NaN has nothing to wait for
        if not converged.any():
            return self.iterations >= max_iterations
        if not (self._inverse.age < 2).any():
            needed = self.iterations - len(history) + 1 + int(converged.argmax())
            self._inverse.needed = [*self._inverse.needed[-1:], needed]
        return True

    def _set_first_scale(self, curvature: Tensor, y: Tensor) -> None:
        new = self._new_paths()
        scale = torch.ones_like(curvature)
        scale[new] = FIRST_SCALE * (curvature / dots(y, y).clamp_min(_TINY))[new]
        self._inverse.scale(scale.where(scale.isfinite(), 1))

    def _remember_scale(self) -> None:
        """Let new paths begin again with H as large as the inverse was found to be."""
        scale = self._least.reciprocal()
        usable = scale.isfinite() & (scale > 0)
        self._inverse.restart(self._new_paths(), scale.where(usable, 1))

    def _new_paths(self) -> Tensor:
        new = (self._inverse.age == 0).nonzero()[0]
        return torch.from_numpy(new).to(self._r.device)

    def square_of(self, v: Tensor) -> Tensor:  # (n, d) -> (n,)
        """Return ‖Πv‖² of a vector whose part across w is nearly in or nearly across the row space.

        The part of v along w is known. Of the rest, one iteration finds the square, with the square
        of the relative error of H, and without waiting for the accelerator.
        """
        along, rest = self.parts_of(v)
        r = self._products.along(rest, self._free)
        p = self._inverse @ r
        q = self._products.combined(p, self._free)
        return along + dots(r, p).square() / dots(q, q).clamp_min(_TINY)

    def parts_of(self, v: Tensor) -> tuple[Tensor, Tensor]:  # (n, d) -> (n,), (n, d)
        """Return the squared length of the part of v along w, and the rest of v."""
        w = self.projection
        product, square = dots(v, w), dots(w, w).clamp_min(_TINY)
        rest = torch.addcmul(v, (product / square).unsqueeze(1), w, value=-1)
        return product.square() / square, rest


_TINY = torch.finfo(torch.float64).tiny


def dots(a: Tensor, b: Tensor) -> Tensor:  # (n, k), (n, k) -> (n,)
    """Return the inner product of every row, in one operation."""
    return (a.unsqueeze(1) @ b.unsqueeze(2)).flatten()
