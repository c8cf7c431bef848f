"""Projections on the row spaces of matrices that change little from one to the next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.point_projection import dots
from lightning_leaf.geometry.matrix_free.products import Products

RECYCLED_CLASSES = 2048
"""Most classes for which H is kept: C² numbers for each path."""
NUMBERS_OF_ANY_MODEL = 2**20
NUMBERS_PER_WEIGHT = 3
"""H is kept if its C² numbers are at most the first number, or the second for each weight of the
model: to change them takes less time then than the products that they save."""
RECYCLED_RTOL = 500
"""Least error to allow, in units of the rounding of the products, which would spoil H."""
FIRST_ITERATIONS = 8
"""Iterations before the error is first read, while nothing is known of the matrix."""
FURTHER_ITERATIONS = 2
"""Iterations between two reads of the error, which make the host wait for the accelerator."""
FIRST_SCALE = 1000
"""H in directions that are not known yet, relative to the inverse in the first direction. With a
smaller value, the rounding noise of the known directions hides the others."""
DOUBLE_CLASSES = 512
"""Most classes for which H is float64. A larger one takes most of the time of small networks."""
SAFETY = 2
"""Factor by which the estimate of the error is multiplied."""


def pays_off(classes: int, weights: int, rtol: float, rounding: float) -> bool:
    """Return whether what products tell of the inverse is worth keeping.

    Args:
        classes: C.
        weights: Number of weights of the model.
        rtol: Relative error allowed.
        rounding: Relative rounding error of the products.
    """
    affordable = max(NUMBERS_OF_ANY_MODEL, NUMBERS_PER_WEIGHT * weights)
    return (
        classes <= RECYCLED_CLASSES
        and classes**2 <= affordable
        and rtol >= RECYCLED_RTOL * rounding
    )


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
        matrix: H, ``(n, C, C)``, float64, or float32 if there are many classes.
        age: Number of projections of each path that have contributed, on the host.
        needed: Iterations that the last projections needed.
    """

    def __init__(self, paths: int, classes: int, device: torch.device) -> None:
        dtype = torch.float64 if classes <= DOUBLE_CLASSES else torch.float32
        eye = torch.eye(classes, dtype=dtype, device=device)
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
        """Return H r, float64."""
        return (self.matrix @ r.to(self.matrix.dtype).unsqueeze(-1)).squeeze(-1).double()

    def scale(self, factor: Tensor) -> None:  # (n,)
        """Multiply H of every path."""
        self.matrix.mul_(factor[:, None, None])

    def restart(self, paths: Tensor, factor: Tensor) -> None:  # (k,), (n,)
        """Forget H of some paths, but for a multiple of the identity."""
        eye = torch.eye(self.matrix.shape[-1], device=self.matrix.device)
        self.matrix[paths] = (eye * factor[paths, None, None]).to(self.matrix.dtype)

    def update(self, p: Tensor, y: Tensor, curvature: Tensor, r: Tensor) -> Tensor:
        """Change H so that H y = p, and return H r.

        H is read twice and written once: the products with the old H are made together, and
        those with its change, u pᵀ + p uᵀ, do not need it.

        Args:
            p: A direction, ``(n, C)``.
            y: M Mᵀp, ``(n, C)``.
            curvature: p·y, ``(n,)``; infinite for a path that does not change.
            r: A vector, ``(n, C)``.
        """
        dtype = self.matrix.dtype
        image, product = (self.matrix @ torch.stack([y, r], -1).to(dtype)).double().unbind(-1)
        rate = curvature.reciprocal().unsqueeze(1)
        half = rate.addcmul(rate * rate, dots(y, image).unsqueeze(1)).mul_(0.5)
        u = torch.addcmul(half * p, rate, image, value=-1)
        left, right = torch.stack([u, p], -1), torch.stack([p, u], 1)  # (n, C, 2), (n, 2, C)
        self.matrix.baddbmm_(left.to(dtype), right.to(dtype))
        return torch.baddbmm(product.unsqueeze(-1), left, right @ r.unsqueeze(-1)).squeeze(-1)

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
        self._is_new = inverse.is_new
        if self._is_new:
            # Then Mᵀp is as long as v, whatever the scale of M, and does not underflow.
            square = dots(self._r, self._r)
            self._scale_new(dots(v, v) / torch.where(square > 0, square, 1))
        self._p = inverse @ self._r
        self._error = self.residual = dots(self._r, self._p)
        # ‖w‖², and the scale
        self._unit = torch.zeros_like(self._error) if scale is None else scale
        self._least = torch.full_like(self._error, torch.inf)  # smallest σ² that was resolved
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
                now = dots(p, p) / error  # H is this multiple of the identity
                self._scale_new(FIRST_SCALE * curvature / (dots(y, y) * now))
        self._p = inverse.update(p, y, curvature, self._r)
        self._unit = torch.addcmul(self._unit, error, length.squeeze(1))
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
