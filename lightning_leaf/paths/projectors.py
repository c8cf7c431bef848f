"""Projections on the tangent distribution at every point of a path."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.geometry.data_matrix import scores_and_gradients
from lightning_leaf.geometry.lift import lift
from lightning_leaf.geometry.score_weights import ScoreWeights, score_weights
from lightning_leaf.geometry.tangent_space import COLUMNS_AT_ONCE, TangentSpace, in_double
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood


class Projector(Protocol):
    """Projections on D_x at every point of a batch.

    Attributes:
        error: What v − Πv may be, relative to v, if v lies in D_x.
        least_damping: Damping of a lift below which its weakest directions are rounding noise: 300
            times the relative rounding error of a product with the gradients.
    """

    error: float
    least_damping: float

    @property
    def marker(self) -> Tensor:  # (n,)
        """A number that is finite where the derivatives are finite, after a projection."""

    def project(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Return the orthogonal projection Πv on D_x, float64."""

    def reject(self, v: Tensor, free: Tensor | None = None) -> Tensor:  # (n, d) -> (n, d)
        """Return v − Πv, float64, with v and D_x restricted to the coordinates in ``free``."""

    def lift(
        self,
        change: Tensor,  # (n, C)
        damping: float | Tensor,
        free: Tensor | None = None,  # (n, d)
        weights: ScoreWeights | None = None,
    ) -> tuple[Tensor, Tensor]:  # (n, d), (n, C)
        """Return the damped least v with A v = ``change``, and the change J v of the scores.

        See :func:`~lightning_leaf.geometry.lift.lift`. Both are float64.

        Args:
            change: Change of 2√p, or of 2·arcsin √p of every label.
            damping: ε, a number or one for each path, ``(n,)``.
            free: Boolean mask of the coordinates that may change; None for all.
            weights: W with A = W J. Default: those of G at the point.
        """

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


class ExactProjector(TangentSpace):
    """Projections and lifts from the gradients that span D_x.

    Args:
        rows: See :class:`~lightning_leaf.geometry.tangent_space.TangentSpace`.
        rounding: See there.
        log_probs: Log-probabilities at the points, ``(n, C)``, float64.
        likelihood: What the scores mean.
    """

    def __init__(
        self, rows: Tensor, rounding: float, log_probs: Tensor, likelihood: Likelihood
    ) -> None:
        super().__init__(rows, rounding)
        self.least_damping = 300 * rounding
        self._log_probs = log_probs
        self._likelihood = likelihood

    def lift(
        self,
        change: Tensor,
        damping: float | Tensor,
        free: Tensor | None = None,
        weights: ScoreWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Projector.lift`."""
        if weights is None:
            weights = score_weights(self._log_probs, self._likelihood)
        space = self if free is None else TangentSpace(self.rows * free.unsqueeze(1), self.rounding)
        return lift(space, weights, change, damping)


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
        log_probs = self._classifier.log_probs(scores)
        return log_probs, ExactProjector(rows, rounding, log_probs, self._classifier.likelihood)

    def select(self, rows: Tensor) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self

    def extended(self, count: int) -> ExactProjectors:
        """Return itself: nothing depends on the paths."""
        return self
