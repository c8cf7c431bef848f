"""What every local data matrix can compute, by all classes or by products with vectors."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from lightning_leaf.geometry.estimates import LeadingSpectrum, TraceEstimate
from lightning_leaf.model.likelihood import Likelihood


class DataMatrix(Protocol):
    r"""G(x, w) = AᵀA of every input of a batch, with a factor A of shape ``(C, d)``.

    A = diag(√p) ∇ₓ log p for exclusive classes, A = diag(√(p (1 − p))) ∇ₓ s for independent labels.
    :class:`~lightning_leaf.LocalDataMatrix` and :class:`~lightning_leaf.MatrixFreeDataMatrix`
    implement it.

    Types and devices:

    - Results that are not vectors of the input space (``log_probs``, ``trace``, ``eigenvalues``,
      ``pushforward``) are float64, on the device of the model. Probabilities of a confident model
      round to one and zero in float32.
    - :meth:`pullback` is float64 too: it maps class space, which is float64, to the input space.
    - Maps of the input space to itself (``@``, :meth:`project`, :meth:`reject`) return the type,
      device and shape of their argument, which may be flattened, so that both can be added.

    Attributes:
        log_probs: log p(y|x), or log p_k(x) of independent labels, ``(B, C)``.
        likelihood: What the scores mean.
    """

    log_probs: Tensor
    likelihood: Likelihood

    def __len__(self) -> int:
        """Return the number of inputs B."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(B, d, d)`` of G."""

    def trace(self) -> Tensor:  # (B,)
        """Return tr G, in units of 1 / input²."""

    def trace_estimate(self) -> TraceEstimate:
        """Return tr G with its standard error, which is zero for an exact trace."""

    def eigenvalues(self, count: int | None = None) -> Tensor:  # (B, count)
        """Return the ``count`` largest eigenvalues, descending, at most C.

        At most C − 1 of them are not zero for exclusive classes, at most d for independent labels.
        """

    def spectrum(self, count: int | None = None) -> LeadingSpectrum:
        """Return at least the ``count`` largest eigenvalues, with bounds of their errors."""

    def finite_derivatives(self) -> Tensor:  # (B,)
        """Return a Boolean mask of the inputs at which the derivatives of the scores are finite."""

    def pushforward(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return A v."""

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, ...)
        """Return Aᵀc in the shape of the inputs."""

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return G v."""

    def project(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return the orthogonal projection of v on D_x = im G."""

    def reject(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return v minus its projection: its part in ker G."""
