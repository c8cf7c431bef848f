"""Projections on the tangent distribution at every point of a path: exact or iterative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.geometry.data_matrix import scores_and_gradients
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES, PROJECTION_RTOL
from lightning_leaf.geometry.matrix_free.logit_jacobian import products_available
from lightning_leaf.geometry.matrix_free.point_projection import (
    PointProjection,
    SingleProjection,
    dots,
    parts_of,
    square_of,
)
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.recycled_projection import (
    InverseGram,
    RecycledProjection,
    pays_off,
)
from lightning_leaf.geometry.tangent_space import COLUMNS_AT_ONCE, TangentSpace, in_double
from lightning_leaf.model.chunks import (
    ROWS_OF_A_GRAPH,
    checked_chunk_size,
    chosen_chunk_size,
    fitting_chunk_size,
)
from lightning_leaf.model.classifier import Classifier

MAX_ITERATIONS = 64
"""Largest number of iterations at one point; the next point starts from what they have found."""


class Projector(Protocol):
    """Projections on D_x at every point of a batch.

    Attributes:
        error: What v − Πv may be, relative to v, if v lies in D_x.
    """

    error: float

    @property
    def damping(self) -> Tensor:  # (n,)
        """A number that is finite where the derivatives are finite, after a projection."""

    def project(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Return the orthogonal projection Πv on D_x, float64."""

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:  # (n, d) -> (n, d)
        """Return v − Πv, float64, with v and D_x restricted to the coordinates in ``free``."""

    def displacement_square(self, v: Tensor, is_clamped: bool) -> Tensor:  # (n, d) -> (n,)
        """Return ‖Πv‖² of the displacement that followed from the first projection, float64.

        Args:
            v: The displacement.
            is_clamped: Whether it may have been clamped to a domain.
        """


class Projectors(Protocol):
    """The projectors at successive points of a batch of paths.

    Attributes:
        can_be_captured: Whether they make the same operations at each point.
    """

    can_be_captured: bool

    def at(self, x: Tensor) -> tuple[Tensor, Projector]:
        """Evaluate the classifier at the next point of every path.

        Returns:
            Log-probabilities ``(n, C)`` and the projector.
        """

    def select(self, rows: Tensor) -> Projectors:
        """Return the projectors of some of the paths."""

    def extended(self, count: int) -> Projectors:
        """Return the projectors of these paths followed by those of ``count`` new paths."""


class ExactProjectors:
    """Projectors from the gradients of all classes, or of some of them at every point.

    NaN in one path does not spread to the others.

    Args:
        classifier: An open classifier.
        top: The number of most probable classes, or of labels with the largest variance p (1 − p);
            None for all.
    """

    can_be_captured = True

    def __init__(self, classifier: Classifier, top: int | None = None) -> None:
        self._classifier = classifier
        self._gradients = SpanningGradients(classifier, top)

    def at(self, x: Tensor) -> tuple[Tensor, Projector]:
        """See :meth:`Projectors.at`."""
        scores, rows = scores_and_gradients(self._classifier, self._gradients, x)
        rounding = torch.finfo(rows.dtype).eps
        # Several products need the rows in float64. Large ones are converted in parts.
        if rows.shape[-1] <= COLUMNS_AT_ONCE:
            rows = in_double(rows)
        return self._classifier.log_probs(scores), TangentSpace(rows, rounding)

    def select(self, rows: Tensor) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self

    def extended(self, count: int) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self


class IterativeProjectors:
    """Projectors by iterative least squares, started from what is known of the previous point.

    Args:
        classifier: An open classifier.
        rtol: Relative error allowed in a projection.
        keeps: Whether what is known is kept.
        inverses: What is known, in the order of the projections at a point.
    """

    can_be_captured = False

    def __init__(
        self,
        classifier: Classifier,
        rtol: float,
        keeps: bool,
        inverses: list[InverseGram] | None = None,
    ) -> None:
        self._classifier = classifier
        self._rtol = rtol
        self._keeps = keeps
        self._inverses = [] if inverses is None else inverses

    def at(self, x: Tensor) -> tuple[Tensor, Projector]:
        """See :meth:`Projectors.at`."""
        products = Products(self._classifier, x)
        inverses = self._inverses if self._keeps else None
        return products.log_probs, _IterativeProjector(products, self._rtol, inverses)

    def select(self, rows: Tensor) -> IterativeProjectors:
        """Return the projectors of some of the paths."""
        return self._with([inverse.select(rows) for inverse in self._inverses])

    def extended(self, count: int) -> IterativeProjectors:
        """Return the projectors of these paths followed by those of ``count`` new paths."""
        return self._with([inverse.extended(count) for inverse in self._inverses])

    def _with(self, inverses: list[InverseGram]) -> IterativeProjectors:
        return IterativeProjectors(self._classifier, self._rtol, self._keeps, inverses)


class _IterativeProjector:
    """Projections by iterative least squares at one point of every path.

    Args:
        products: Products with the contrasts that span D_x.
        rtol: Relative error allowed in a projection.
        inverses: What is known of the matrices, in the order of the projections; None if nothing
            is kept.

    Attributes:
        error: Twice ``rtol``, which the estimates of errors hold to.
    """

    def __init__(self, products: Products, rtol: float, inverses: list[InverseGram] | None) -> None:
        self._products = products
        self._rtol = rtol
        self._inverses = inverses
        self._found: list[PointProjection] = []
        self.error = 2 * rtol

    @property
    def damping(self) -> Tensor:
        return self._found[0].residual

    def project(self, v: Tensor) -> Tensor:
        return self._solve(v, None).projection

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:
        return self._solve(v if free is None else v * free, free).rejection

    def displacement_square(self, v: Tensor, is_clamped: bool) -> Tensor:
        if not is_clamped:
            return square_of(v, self._found[0], self._products)
        along, rest = parts_of(v, self._found[0])
        projection = self._solve(rest, None, scale=dots(v, v)).projection
        return along + dots(projection, projection)

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


@dataclass(frozen=True)
class ProjectionSettings:
    """How projections on D_x are computed; see :func:`~lightning_leaf.horizontal_path`.

    Attributes:
        top_classes: Number of most probable classes (of the labels with the largest variance) whose
            gradients span D_x; None for all.
        rtol: Relative error allowed in an iterative projection; 0 for exact projections; None
            for the method that costs less.
        chunk_size: Largest number of paths computed together; None for the default.

    Raises:
        LeafError: If an argument is out of its range, or ``top_classes`` and ``rtol`` are given.
    """

    top_classes: int | None
    rtol: float | None
    chunk_size: int | None

    def __post_init__(self) -> None:
        checked_chunk_size(self.chunk_size)
        top, rtol = self.top_classes, self.rtol
        if top is not None:
            whole_number(top, "top_classes", at_least=2)
        if rtol is not None and not 0 <= rtol < 1:
            raise LeafError(
                f"rtol expects a relative error of at least 0 and below 1; got {rtol!r}."
            )
        if top is not None and rtol:
            raise LeafError(
                "Expected top_classes or rtol, not both, because each saves backward passes in its "
                f"own way; got top_classes={top} and rtol={rtol}. Remove one of them."
            )

    def choose(
        self,
        classifier: Classifier,
        classes: int,
        start: Tensor,  # (N, ...)
    ) -> tuple[Projectors, int]:
        """Return the projectors, and the number of paths to compute together.

        With many classes they are iterative by default, but exact for a model that has first
        derivatives only.

        Args:
            classifier: An open classifier.
            classes: Number of classes, C.
            start: Starting points of the paths.
        """
        size = start[0].numel()
        rtol, chunk = self.rtol, checked_chunk_size(self.chunk_size)
        if rtol is None and self.top_classes is None:
            exact = classes <= EXACT_CLASSES or not products_available(classifier, start)
            rtol = 0 if exact else PROJECTION_RTOL
        if rtol:
            paths = chosen_chunk_size(chunk, classifier, ROWS_OF_A_GRAPH, size)
            keeps = pays_off(classes, classifier.weights, rtol, torch.finfo(start.dtype).eps)
            if keeps:
                paths = fitting_chunk_size(paths, classes, classes)
            return IterativeProjectors(classifier, rtol, keeps), paths
        top = None if self.top_classes is None else min(self.top_classes, classes)
        rows = top or classes
        return ExactProjectors(classifier, top), chosen_chunk_size(chunk, classifier, rows, size)
