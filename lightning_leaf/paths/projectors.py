"""Projections on the tangent distribution at every point of a path: exact or iterative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.contrast_gradients import spanning_gradients
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES, PROJECTION_RTOL
from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection
from lightning_leaf.geometry.matrix_free.logit_jacobian import products_available
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.chunks import ROWS_OF_A_GRAPH, checked_chunk_size, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood

MAX_ITERATIONS = 64
"""Largest number of iterations at one point; those at the next point start from their solution."""


class Projector(Protocol):
    """Projections on D_x at every point of a batch."""

    def project(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Return the orthogonal projection Πv on D_x, float64."""

    def share(self, v: Tensor) -> Tensor:  # (n, d) -> (n,)
        """Return ‖Πv‖ / ‖v‖, the share of v that lies in D_x; NaN where v is zero."""

    def restricted(self, free: Tensor) -> Projector:  # (n, d)
        """Return the projector at the same points, restricted to the coordinates in ``free``."""


class Projectors(Protocol):
    """The projectors at successive points of a batch of paths."""

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        """Evaluate the classifier at the next point of every path.

        Returns:
            Log-probabilities ``(n, C)``, the projector, and a Boolean mask ``(n,)`` of points at
            which scores and derivatives are finite.
        """

    def select(self, rows: Tensor) -> Projectors:
        """Return the projectors of some of the paths."""

    def extended(self, count: int) -> Projectors:
        """Return the projectors of these paths followed by those of ``count`` new paths."""


class ExactProjectors:
    """Projectors from the gradients of all classes, or of some of them at every point.

    Args:
        classifier: An open classifier.
        top: The number of most probable classes, or of labels with the largest variance p (1 − p);
            None for all.
    """

    def __init__(self, classifier: Classifier, top: int | None = None) -> None:
        self._classifier = classifier
        self._top = top

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        """See :meth:`Projectors.at`."""
        x = x.detach().requires_grad_()
        scores = self._classifier.scores(x.clone())
        likelihood = self._classifier.likelihood
        spanning = scores if self._top is None else _top_scores(scores, self._top, likelihood)
        jacobian = spanning_gradients(spanning, x, likelihood)
        finite = scores.isfinite().all(1) & jacobian.isfinite().flatten(1).all(1)
        # NaN in one path would make the eigendecompositions of the whole batch fail.
        jacobian = torch.where(finite[:, None, None], jacobian, 0)
        tangent = TangentSpace(jacobian, likelihood)
        return self._classifier.log_probs(scores), tangent, finite.detach()

    def select(self, rows: Tensor) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self

    def extended(self, count: int) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self


def _top_scores(
    scores: Tensor,  # (n, C)
    count: int,
    likelihood: Likelihood,
) -> Tensor:  # (n, count)
    relevance = scores.detach()
    if likelihood == "bernoulli":
        relevance = -relevance.abs()  # p (1 − p) decreases with |s|
    return scores.gather(1, relevance.topk(count, dim=1).indices)


class IterativeProjectors:
    """Projectors by iterative least squares, started from the solutions at the previous point.

    Args:
        classifier: An open classifier.
        rtol: Relative error allowed in a projection.
        solutions: Solutions at the previous point, in the order of the projections.
    """

    def __init__(
        self,
        classifier: Classifier,
        rtol: float,
        solutions: list[RowSpaceProjection] | None = None,
    ) -> None:
        self._classifier = classifier
        self._rtol = rtol
        self._solutions = [] if solutions is None else solutions

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        """See :meth:`Projectors.at`."""
        products = Products(self._classifier, x)
        finite = products.finite()
        log_probs = products.log_probs
        if not bool(finite.all()):
            if not bool(finite.any()):
                return log_probs, TangentSpace(x.new_zeros(len(x), 1, x[0].numel())), finite
            # NaN in one path would spread to the products of the others.
            substitute = x[finite.nonzero()[0]]
            mask = finite.reshape(-1, *[1] * (x.ndim - 1))
            products = Products(self._classifier, torch.where(mask, x, substitute))
        previous, self._solutions = self._solutions, []
        projector = _IterativeProjector(products, self._rtol, previous, self._solutions)
        return log_probs, projector, finite

    def select(self, rows: Tensor) -> IterativeProjectors:
        """Return the projectors of some of the paths."""
        solutions = [solution.select(rows) for solution in self._solutions]
        return IterativeProjectors(self._classifier, self._rtol, solutions)

    def extended(self, count: int) -> IterativeProjectors:
        """Return the projectors of these paths followed by those of ``count`` new paths."""
        solutions = [solution.extended(count) for solution in self._solutions]
        return IterativeProjectors(self._classifier, self._rtol, solutions)


class _IterativeProjector:
    """Projections by iterative least squares at one point of every path.

    Args:
        products: Products with the contrasts that span D_x.
        rtol: Relative error allowed in a projection.
        previous: Solutions at the previous point, from which to start.
        solutions: The list to which the solutions at this point are appended.
        free: Boolean mask of the coordinates that may change, ``(n, d)``; None for all.
    """

    def __init__(
        self,
        products: Products,
        rtol: float,
        previous: list[RowSpaceProjection],
        solutions: list[RowSpaceProjection],
        free: Tensor | None = None,
    ) -> None:
        self._products = products
        self._rtol = rtol
        self._previous = previous
        self._solutions = solutions
        self._free = free

    def project(self, v: Tensor) -> Tensor:
        position = len(self._solutions)
        start = self._previous[position] if position < len(self._previous) else None
        solution = self._solve(v, start)
        self._solutions.append(solution)
        return solution.projection

    def share(self, v: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(v, dim=1)
        # A step along the leaf is a multiple of the last solution, so iterations start there.
        last = self._solutions[-1] if self._solutions else None
        solution = self._solve(v, last, scale=length)
        share: Tensor = torch.linalg.vector_norm(solution.projection, dim=1) / length
        return share

    def restricted(self, free: Tensor) -> _IterativeProjector:
        return _IterativeProjector(
            self._products, self._rtol, self._previous, self._solutions, free
        )

    def _solve(
        self, v: Tensor, start: RowSpaceProjection | None, scale: Tensor | None = None
    ) -> RowSpaceProjection:
        return self._products.project(
            v, self._rtol, MAX_ITERATIONS, free=self._free, start=start, scale=scale
        )


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
            return IterativeProjectors(classifier, rtol), fitting_chunk_size(
                chunk, ROWS_OF_A_GRAPH, size
            )
        top = None if self.top_classes is None else min(self.top_classes, classes)
        return ExactProjectors(classifier, top), fitting_chunk_size(chunk, top or classes, size)
