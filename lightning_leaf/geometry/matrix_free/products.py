"""Products with G, with its factor and with the rows that span D_x, for a chunk of inputs."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection, project_on_rows
from lightning_leaf.geometry.matrix_free.logit_jacobian import LogitJacobian
from lightning_leaf.geometry.score_weights import score_weights
from lightning_leaf.model.classifier import Classifier


class Products:
    """Products with A, Aᵀ and G of every input of a chunk. It keeps the graphs of the model.

    Args:
        classifier: An open classifier, see :func:`~lightning_leaf.model.classifier.measuring`.
        x: Prepared inputs, ``(B, ...)``.

    Attributes:
        log_probs: log p of each class or label, ``(B, C)``, float64.
        weights: W with A = W J.
        rounding: Machine precision of the classifier.
    """

    def __init__(self, classifier: Classifier, x: Tensor) -> None:
        self._x = x
        self.rounding = torch.finfo(x.dtype).eps
        self._likelihood = classifier.likelihood
        self._jacobian = LogitJacobian(classifier, x)
        self.log_probs = classifier.log_probs(self._jacobian.scores)
        self.weights = score_weights(self.log_probs, self._likelihood)

    def finite(self) -> Tensor:  # (B,)
        """Return a Boolean mask of inputs with finite scores and a finite gradient of their sum."""
        gradient = self._jacobian.transposed(torch.ones_like(self.log_probs))
        return self.log_probs.isfinite().all(1) & gradient.isfinite().all(1)

    def pushforward(self, v: Tensor) -> Tensor:  # (B, d) -> (B, C)
        """Return A v, float64."""
        return (self.weights @ (self._jacobian @ v).unsqueeze(-1)).squeeze(-1)

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, d)
        """Return Aᵀc, in the classifier's precision."""
        return self._jacobian.transposed(self.weights.transposed(c.unsqueeze(-1)).squeeze(-1))

    def product(self, v: Tensor) -> Tensor:  # (B, d) -> (B, d)
        """Return G v."""
        return self.pullback(self.pushforward(v))

    def gram_product(self, c: Tensor) -> Tensor:  # (B, C) -> (B, C)
        """Return K c = AAᵀc, float64."""
        return self.pushforward(self.pullback(c))

    def along(self, v: Tensor, free: Tensor | None = None) -> Tensor:  # (B, d) -> (B, C)
        """Return M v with the rows M that span D_x, float64.

        Args:
            v: One vector for each input.
            free: Boolean mask of the coordinates that may change. The others count as constants.
        """
        scores = (self._jacobian @ (v if free is None else v * free)).double()
        return self._spanning(scores)

    def combined(self, c: Tensor, free: Tensor | None = None) -> Tensor:  # (B, C) -> (B, d)
        """Return Mᵀc, float64.

        Args:
            c: One vector of class space for each input.
            free: See :meth:`along`.
        """
        vector = self._jacobian.transposed(self._spanning(c)).double()
        return vector if free is None else vector * free

    def project(
        self, v: Tensor, rtol: float, max_iterations: int, free: Tensor | None = None
    ) -> RowSpaceProjection:
        """Return the projection of v on D_x.

        Args:
            v: Vectors to project, ``(B, d)``.
            rtol: Estimated relative error at which to stop.
            max_iterations: Largest number of iterations.
            free: See :meth:`along`.
        """
        return project_on_rows(
            lambda vector: self.along(vector, free),
            lambda coefficients: self.combined(coefficients, free),
            v.double(),
            rtol=rtol,
            max_iterations=max_iterations,
            rounding=self.rounding,
        )

    def _spanning(self, vectors: Tensor) -> Tensor:  # (B, C)
        """Return the products with rows minus their mean, for exclusive classes."""
        if self._likelihood == "categorical":
            return vectors - vectors.mean(1, keepdim=True)
        return vectors

    def generators(self, seed: int) -> list[torch.Generator]:
        """Return a generator for each input, seeded by its values.

        Draws therefore do not depend on the order of inputs, nor on chunks.
        """
        rows = self._x.detach().cpu().flatten(1).numpy()
        return [torch.Generator().manual_seed(zlib.crc32(row.tobytes(), seed)) for row in rows]
