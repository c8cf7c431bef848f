"""Projections on the tangent distribution at every point of a path."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.geometry.data_matrix import scores_and_gradients
from lightning_leaf.geometry.tangent_space import COLUMNS_AT_ONCE, TangentSpace, in_double
from lightning_leaf.model.classifier import Classifier


class Projector(Protocol):
    """Projections on D_x at every point of a batch.

    Attributes:
        error: What v − Πv may be, relative to v, if v lies in D_x.
    """

    error: float

    @property
    def marker(self) -> Tensor:  # (n,)
        """A number that is finite where the derivatives are finite, after a projection."""

    def project(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Return the orthogonal projection Πv on D_x, float64."""

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:  # (n, d) -> (n, d)
        """Return v − Πv, float64, with v and D_x restricted to the coordinates in ``free``."""

    def projected_square(self, v: Tensor) -> Tensor:  # (n, d) -> (n,)
        """Return ‖Πv‖², float64, of the displacement that followed from the first projection."""


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
