"""The tangent distribution at every point of a walk: by all classes, or by products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES, PROJECTION_RTOL
from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.chunks import ROWS_OF_A_GRAPH, checked_chunk_size, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier, contrast_gradients, log_softmax

MAX_ITERATIONS = 64
"""Of a projection at one point of a walk: the next point goes on from where it stopped."""


class Projector(Protocol):
    """D_x of every point of a batch."""

    def project(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Orthogonal projection on D_x, float64."""

    def share(self, v: Tensor) -> Tensor:  # (n, d) -> (n,)
        """‖Πv‖ / ‖v‖: how much of v lies in D_x; NaN where v is zero."""

    def restricted(self, free: Tensor) -> Projector:  # (n, d)
        """The same points where only some of their coordinates may change."""


class Tangents(Protocol):
    """How a batch of walks finds out about its points."""

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        """Log-probabilities ``(n, C)``, D_x, and whether all of it is finite ``(n,)``."""

    def select(self, rows: Tensor) -> Tangents:
        """For some of the walks only."""

    def joined(self, count: int) -> Tangents:
        """For so many more walks, which have just begun."""


class TangentsByClasses:
    """One backward pass for every class, or for the ``top`` most probable ones of every point."""

    def __init__(self, classifier: Classifier, top: int | None = None) -> None:
        self._classifier = classifier
        self._top = top

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        x = x.detach().requires_grad_()
        scores = self._classifier.scores(x.clone())
        jacobian = contrast_gradients(scores if self._top is None else _top(scores, self._top), x)
        finite = scores.isfinite().all(1) & jacobian.isfinite().flatten(1).all(1)
        # One diverged path must not break the eigendecompositions of the others.
        jacobian = torch.where(finite[:, None, None], jacobian, 0)
        return log_softmax(scores), TangentSpace(jacobian), finite.detach()

    def select(self, rows: Tensor) -> TangentsByClasses:
        return self

    def joined(self, count: int) -> TangentsByClasses:
        return self


def _top(scores: Tensor, count: int) -> Tensor:  # (n, C) -> (n, count)
    return scores.gather(1, scores.detach().topk(count, dim=1).indices)


class TangentsByProducts:
    """As many products as the projections need, which begin with those of the point before.

    Args:
        classifier: Whose leaves are walked.
        rtol: Error allowed in a projection, relative to it.
        memory: Solutions at the last point, in the order in which they were asked for.
    """

    def __init__(
        self,
        classifier: Classifier,
        rtol: float,
        memory: list[RowSpaceProjection] | None = None,
    ) -> None:
        self._classifier = classifier
        self._rtol = rtol
        self._memory = [] if memory is None else memory

    def at(self, x: Tensor) -> tuple[Tensor, Projector, Tensor]:
        products = Products(self._classifier, x)
        finite = products.finite()
        log_probs = products.log_probs
        if not bool(finite.all()):
            if not bool(finite.any()):
                return log_probs, TangentSpace(x.new_zeros(len(x), 1, x[0].numel())), finite
            # Diverged points must not spoil the products of the others.
            one = x[finite.nonzero()[0]]
            usable = finite.reshape(-1, *[1] * (x.ndim - 1))
            products = Products(self._classifier, torch.where(usable, x, one))
        before, self._memory = self._memory, []
        return log_probs, _ByProducts(products, self._rtol, before, self._memory), finite

    def select(self, rows: Tensor) -> TangentsByProducts:
        memory = [solution.select(rows) for solution in self._memory]
        return TangentsByProducts(self._classifier, self._rtol, memory)

    def joined(self, count: int) -> TangentsByProducts:
        memory = [solution.extended(count) for solution in self._memory]
        return TangentsByProducts(self._classifier, self._rtol, memory)


class _ByProducts:
    """D_x by iterative least squares; solutions are left for the next point."""

    def __init__(
        self,
        products: Products,
        rtol: float,
        before: list[RowSpaceProjection],
        memory: list[RowSpaceProjection],
        free: Tensor | None = None,
    ) -> None:
        self._products = products
        self._rtol = rtol
        self._before = before
        self._memory = memory
        self._free = free

    def project(self, v: Tensor) -> Tensor:
        position = len(self._memory)
        start = self._before[position] if position < len(self._before) else None
        found = self._solve(v, start)
        self._memory.append(found)
        return found.projection

    def share(self, v: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(v, dim=1)
        # A step that has been taken along the leaf lies where the last solution found it.
        found = self._solve(v, self._memory[-1] if self._memory else None, scale=length)
        share: Tensor = torch.linalg.vector_norm(found.projection, dim=1) / length
        return share

    def restricted(self, free: Tensor) -> _ByProducts:
        return _ByProducts(self._products, self._rtol, self._before, self._memory, free)

    def _solve(
        self, v: Tensor, start: RowSpaceProjection | None, scale: Tensor | None = None
    ) -> RowSpaceProjection:
        return self._products.project(
            v, self._rtol, MAX_ITERATIONS, free=self._free, start=start, scale=scale
        )


@dataclass(frozen=True)
class Method:
    """How D_x is found: arguments of the functions that walk.

    Attributes:
        top_classes: Span it by the contrasts of so many of the most probable classes.
        rtol: Error of an iterative projection; 0 for all classes, None for what costs less.
        chunk_size: Walks at once at most.

    Raises:
        LeafError: If one is out of its range, or two exclude each other.
    """

    top_classes: int | None
    rtol: float | None
    chunk_size: int | None

    def __post_init__(self) -> None:
        checked_chunk_size(self.chunk_size)
        top, rtol = self.top_classes, self.rtol
        if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 2):
            raise LeafError(f"top_classes expects a whole number of at least 2; got {top!r}.")
        if rtol is not None and not 0 <= rtol < 1:
            raise LeafError(f"rtol expects a relative error, 0 or more and below 1; got {rtol!r}.")
        if top is not None and rtol:
            raise LeafError(
                "top_classes and rtol are two ways to spare backward passes; expected one of them, "
                f"got top_classes={top} and rtol={rtol}."
            )

    def choose(self, classifier: Classifier, classes: int, size: int) -> tuple[Tangents, int]:
        """The way to find D_x of inputs of ``size`` numbers, and how many walks go at once."""
        rtol, chunk = self.rtol, checked_chunk_size(self.chunk_size)
        if rtol is None and self.top_classes is None:
            rtol = 0 if classes <= EXACT_CLASSES else PROJECTION_RTOL
        if rtol:
            return TangentsByProducts(classifier, rtol), fitting_chunk_size(
                chunk, ROWS_OF_A_GRAPH, size
            )
        top = None if self.top_classes is None else min(self.top_classes, classes)
        return TangentsByClasses(classifier, top), fitting_chunk_size(chunk, top or classes, size)
