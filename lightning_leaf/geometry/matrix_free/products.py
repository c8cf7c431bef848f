"""Products with G, its factor and the contrasts that span D_x, at a few inputs at once."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection, project_on_rows
from lightning_leaf.geometry.matrix_free.logit_jacobian import LogitJacobian
from lightning_leaf.geometry.score_weights import ScoreWeights
from lightning_leaf.model.classifier import Classifier, log_softmax


class Products:
    """A v, Aᵀc and G v of every input of a chunk; graphs live as long as it does.

    Args:
        classifier: Inside :func:`~lightning_leaf.model.classifier.measuring`.
        x: Inputs, ``(B, ...)``.

    Attributes:
        log_probs: log p(y|x), ``(B, C)``, float64.
        weights: W with A = W J.
        rounding: Machine precision of the classifier.
    """

    def __init__(self, classifier: Classifier, x: Tensor) -> None:
        self._x = x
        self.rounding = torch.finfo(x.dtype).eps
        self._jacobian = LogitJacobian(classifier, x)
        self.log_probs = log_softmax(self._jacobian.scores)
        self.weights = ScoreWeights(self.log_probs)

    def finite(self) -> Tensor:  # (B,)
        """Whether the scores and the derivatives of all their sum are finite."""
        gradient = self._jacobian.transposed(torch.ones_like(self.log_probs))
        return self.log_probs.isfinite().all(1) & gradient.isfinite().all(1)

    def pushforward(self, v: Tensor) -> Tensor:  # (B, d) -> (B, C)
        """A v, float64."""
        return (self.weights @ (self._jacobian @ v).unsqueeze(-1)).squeeze(-1)

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, d)
        """Aᵀc, in the classifier's precision."""
        return self._jacobian.transposed(self.weights.transposed(c.unsqueeze(-1)).squeeze(-1))

    def product(self, v: Tensor) -> Tensor:  # (B, d) -> (B, d)
        """G v."""
        return self.pullback(self.pushforward(v))

    def gram_product(self, c: Tensor) -> Tensor:  # (B, C) -> (B, C)
        """K c = AAᵀc, float64."""
        return self.pushforward(self.pullback(c))

    def project(
        self,
        v: Tensor,  # (B, d)
        rtol: float,
        max_iterations: int,
        *,
        free: Tensor | None = None,  # (B, d)
        start: RowSpaceProjection | None = None,
        scale: Tensor | None = None,  # (B,)
    ) -> RowSpaceProjection:
        """Projection of v on D_x, or on that of the inputs whose free coordinates alone change."""

        def contrasts(vector: Tensor) -> Tensor:
            scores = self._jacobian @ (vector if free is None else vector * free)
            return scores.double() - scores.double().mean(1, keepdim=True)

        def combined(coefficients: Tensor) -> Tensor:
            centred = coefficients - coefficients.mean(1, keepdim=True)
            vector = self._jacobian.transposed(centred)
            return vector if free is None else vector * free

        return project_on_rows(
            contrasts,
            combined,
            v.double(),
            rtol=rtol,
            max_iterations=max_iterations,
            rounding=self.rounding,
            start=start,
            scale=scale,
        )

    def generators(self, seed: int) -> list[torch.Generator]:
        """One for each input, from its values: neither order nor chunks change what is drawn."""
        rows = self._x.detach().cpu().flatten(1).numpy()
        return [torch.Generator().manual_seed(zlib.crc32(row.tobytes(), seed)) for row in rows]
