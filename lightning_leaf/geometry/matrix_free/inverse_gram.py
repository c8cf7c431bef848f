"""What products tell of the inverse of a Gram matrix that changes little along a path."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.point_projection import dots

RECYCLED_CLASSES = 2048
"""Most classes for which H is kept: C² numbers for each path."""
NUMBERS_OF_ANY_MODEL = 2**19
NUMBERS_PER_WEIGHT = 2
"""H is kept if its C² numbers are at most the first number, or the second for each weight of the
model: to change them takes less time then than the products that they save."""
RECYCLED_RTOL = 500
"""Least error to allow, in units of the rounding of the products, which would spoil H."""
FIRST_ITERATIONS = 8
"""Iterations before the error is first read, while nothing is known of the matrix."""


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

    H is float64: it reaches over eleven orders of magnitude where directions disappear, and in
    float32 would no longer be positive definite.

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
        self._half = torch.tensor(0.5, dtype=torch.float64, device=device)
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

    def update(self, p: Tensor, y: Tensor, curvature: Tensor, r: Tensor) -> Tensor:
        """Change H so that H y = p, and return H r.

        H is read twice and written once: the products with the old H are made together, and
        those with its change, a multiple of u pᵀ + p uᵀ, do not need it.

        Args:
            p: A direction, ``(n, C)``.
            y: Its product with M Mᵀ, ``(n, C)``.
            curvature: p·y, ``(n,)``; infinite for a path that does not change.
            r: A vector, ``(n, C)``.
        """
        image, product = (self.matrix @ torch.stack([y, r], -1)).unbind(-1)
        rate = curvature.reciprocal().unsqueeze(1)
        share = torch.addcmul(self._half, rate, dots(y, image).unsqueeze(1), value=0.5)
        u = torch.addcmul(image, share, p, value=-1)
        left = torch.stack([u, p], -1)  # (n, C, 2)
        right = torch.stack([p, u], 1) * rate.unsqueeze(1)  # (n, 2, C)
        self.matrix.baddbmm_(left, right, alpha=-1)
        change = right @ r.unsqueeze(-1)
        return torch.baddbmm(product.unsqueeze(-1), left, change, alpha=-1).squeeze(-1)

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of some path."""
        return bool((self.age == 0).any())

    @property
    def expected(self) -> int:
        """The number of iterations that the next projection will probably need."""
        return FIRST_ITERATIONS if self.is_new or not self.needed else max(self.needed)
