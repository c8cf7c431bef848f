"""Projections on the tangent distribution at every point of a path, by products with vectors."""

from __future__ import annotations

from torch import Tensor

from lightning_leaf.geometry.matrix_free.inverse_gram import InverseGram
from lightning_leaf.geometry.matrix_free.iterative_lift import iterative_lift
from lightning_leaf.geometry.matrix_free.point_projection import (
    LiftedVector,
    PointProjection,
    SingleProjection,
    dots,
    parts_of,
    square_of,
)
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.recycled_projection import RecycledProjection
from lightning_leaf.geometry.score_weights import ScoreWeights
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.paths.projectors import Projector

MAX_ITERATIONS = 64
"""Largest number of iterations at one point; the next point starts from what they have found."""


class IterativeProjectors:
    """Projectors by iterative least squares, started from what is known of the previous point.

    Args:
        classifier: An open classifier.
        rtol: Relative error allowed in a projection.
        keeps: Whether what is known is kept.
        clamps: Whether displacements are clamped to a domain after their projection.
        inverses: What is known, in the order of the projections at a point.
    """

    can_be_captured = False

    def __init__(
        self,
        classifier: Classifier,
        rtol: float,
        keeps: bool,
        clamps: bool,
        inverses: list[InverseGram] | None = None,
    ) -> None:
        self._classifier = classifier
        self._rtol = rtol
        self._keeps = keeps
        self._clamps = clamps
        self._inverses = [] if inverses is None else inverses

    def at(self, x: Tensor) -> tuple[Tensor, Projector]:
        """See :meth:`Projectors.at`."""
        products = Products(self._classifier, x)
        inverses = self._inverses if self._keeps else None
        projector = _IterativeProjector(products, self._rtol, self._clamps, inverses)
        return products.log_probs, projector

    def select(self, rows: Tensor) -> IterativeProjectors:
        """Return the projectors of some of the paths."""
        return self._with([inverse.select(rows) for inverse in self._inverses])

    def extended(self, count: int) -> IterativeProjectors:
        """Return the projectors of these paths followed by those of ``count`` new paths."""
        return self._with([inverse.extended(count) for inverse in self._inverses])

    def _with(self, inverses: list[InverseGram]) -> IterativeProjectors:
        return IterativeProjectors(
            self._classifier, self._rtol, self._keeps, self._clamps, inverses
        )


class _IterativeProjector:
    """Projections by iterative least squares at one point of every path.

    Args:
        products: Products with the contrasts that span D_x.
        rtol: Relative error allowed in a projection.
        clamps: Whether displacements are clamped to a domain after their projection.
        inverses: What is known of the matrices, in the order of the projections; None if nothing
            is kept.

    Attributes:
        error: Twice ``rtol``, which the estimates of errors hold to.
        least_damping: See :class:`~lightning_leaf.paths.projectors.Projector`.
    """

    def __init__(
        self,
        products: Products,
        rtol: float,
        clamps: bool,
        inverses: list[InverseGram] | None,
    ) -> None:
        self._products = products
        self._rtol = rtol
        self._clamps = clamps
        self._inverses = inverses
        self._found: list[PointProjection] = []
        self._lifted: PointProjection | None = None
        self.error = 2 * rtol
        self.least_damping = 300 * products.rounding

    @property
    def marker(self) -> Tensor:
        return self._known.residual

    def project(self, v: Tensor) -> Tensor:
        return self._solve(v, None).projection

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:
        return self._solve(v if free is None else v * free, free).rejection

    def lift(
        self,
        change: Tensor,
        damping: float | Tensor,
        free: Tensor | None = None,
        weights: ScoreWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`~lightning_leaf.paths.projectors.Projector.lift`."""
        found = iterative_lift(
            self._products,
            self._products.weights if weights is None else weights,
            change,
            damping,
            rtol=self._rtol,
            max_iterations=MAX_ITERATIONS,
            free=free,
        )
        if self._lifted is None and free is None:
            self._lifted = LiftedVector(found.v)
        return found.v, found.scores

    def projected_square(self, v: Tensor) -> Tensor:
        if not self._clamps:  # v lies along the first projection, or across D_x
            return square_of(v, self._known, self._products)
        along, rest = parts_of(v, self._known)
        projection = self._solve(rest, None, scale=dots(v, v)).projection
        return along + dots(projection, projection)

    @property
    def _known(self) -> PointProjection:
        """The first projection, or the first lift if nothing was projected."""
        found = self._found[0] if self._found else self._lifted
        assert found is not None
        return found

    def _solve(
        self, v: Tensor, free: Tensor | None, scale: Tensor | None = None
    ) -> PointProjection:
        products, position = self._products, len(self._found)
        paths, classes = products.log_probs.shape
        found: PointProjection
        if self._inverses is None:
            found = SingleProjection(products, v, self._rtol, MAX_ITERATIONS, free)
        else:
            if position == len(self._inverses):
                self._inverses.append(InverseGram(paths, classes, v.device))
            inverse = self._inverses[position]
            found = RecycledProjection(
                products, inverse, v, self._rtol, MAX_ITERATIONS, free, scale
            )
        self._found.append(found)
        return found
