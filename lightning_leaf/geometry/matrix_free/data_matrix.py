"""The local data matrix for many classes: by products with vectors, never by its C rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.data_matrix import checked_rows, checked_vectors
from lightning_leaf.geometry.matrix_free.leading_spectrum import LeadingSpectrum, leading_spectrum
from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.trace_estimate import TraceEstimate, estimate_trace
from lightning_leaf.model.chunks import ROWS_OF_A_GRAPH, checked_chunk_size, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier, log_softmax, measuring, require_finite
from lightning_leaf.model.interruption import stop_if_wanted

EXACT_CLASSES = 160
"""Up to so many, a backward pass for each costs no more than the draws and products of an estimate:
64, and twice about 48."""
DRAWS = 64
EIGENVALUES = 8
SPECTRUM_RTOL = 1e-2
PROJECTION_RTOL = 1e-3
MAX_ITERATIONS = 160

T = TypeVar("T")
D = TypeVar("D", TraceEstimate, LeadingSpectrum, RowSpaceProjection)


class MatrixFreeDataMatrix:
    r"""G(x, w) of a batch of inputs of a classifier with many classes, by products alone.

    :class:`~lightning_leaf.LocalDataMatrix` takes one backward pass for each of the C classes and
    keeps C gradients of every input. This one keeps the inputs, and answers each question by as
    many products as it needs, most of them independent of C: A v = W J v, one differentiation in
    the direction v; Aᵀc = Jᵀ Wᵀ c, one backward pass; G v = AᵀA v, both. Each costs about as much
    as a forward pass.

    It belongs to the model as it was: once the parameters have changed, it refuses.

    Make one with :meth:`at`.

    Attributes:
        log_probs: log p(y|x), shape ``(B, C)``, float64.

    Example:
        >>> import torch
        >>> from lightning_leaf import MatrixFreeDataMatrix
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 500))
        >>> g = MatrixFreeDataMatrix.at(model, torch.rand(2, 1, 8, 8))
        >>> estimate = g.trace_estimate()
        >>> bool((estimate.standard_error < 0.05 * estimate.value).all())
        True
        >>> g.eigenvalues(3).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        classifier: Classifier,
        inputs: Tensor,  # (B, ...)
        log_probs: Tensor,  # (B, C)
        chunk_size: int,
        seed: int,
    ) -> None:
        self.log_probs = log_probs
        self._classifier = classifier
        self._inputs = inputs
        self._chunk_size = chunk_size
        self._seed = seed
        self._versions = _versions(classifier.model)

    @classmethod
    def at(
        cls,
        model: Callable[..., Any],
        x: Tensor,  # (B, ...)
        *,
        chunk_size: int | None = None,
        seed: int = 0,
    ) -> MatrixFreeDataMatrix:
        """The local data matrices of ``model`` at the inputs x, of which nothing is computed yet.

        Args:
            model: Any classifier that :meth:`LocalDataMatrix.at` takes.
            x: Floating-point inputs of any shape, ``(B, ...)``, as the model takes them.
            chunk_size: Inputs that are worked on at once at most; bounds memory. Default: 32, or
                8 of 224×224 pixels.
            seed: Of the draws and starting vectors: the same questions get the same answers.

        Raises:
            LeafError, NonFiniteError: See :meth:`LocalDataMatrix.at`.
        """
        size = checked_chunk_size(chunk_size)
        with measuring(model) as classifier:
            return matrix_free_data_matrix(classifier, classifier.prepare(x), size, seed)

    def __len__(self) -> int:
        return self.log_probs.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(B, d, d)`` of G."""
        size = self._inputs[0].numel()
        return len(self), size, size

    def trace(self) -> Tensor:  # (B,)
        """Tr G, estimated with 64 backward passes; :meth:`trace_estimate` tells its error."""
        return self.trace_estimate().value

    def trace_estimate(self, draws: int = DRAWS) -> TraceEstimate:
        """An unbiased estimate of tr G with its standard error.

        Args:
            draws: Backward passes; half of them take the most probable classes exactly.

        Raises:
            LeafError: If ``draws`` is less than 4.
        """
        _checked_whole(draws, 4, "draws")
        return _joined(
            self._each(
                lambda products, _: estimate_trace(
                    products.pullback, products.log_probs, draws, products.generators(self._seed)
                )
            )
        )

    def eigenvalues(self, count: int | None = None) -> Tensor:  # (B, count)
        """The largest eigenvalues of G, by default 8, descending, float64, to 1 % of each."""
        return self.spectrum(count).eigenvalues

    def spectrum(self, count: int | None = None, *, rtol: float = SPECTRUM_RTOL) -> LeadingSpectrum:
        """The largest eigenvalues of G with their error bounds, and what is known of the others.

        Args:
            count: Eigenvalues, default 8; at most C − 1 are not zero.
            rtol: Error of each, relative; at most 160 products are taken.

        Raises:
            LeafError: If ``count`` or ``rtol`` is out of its range.
        """
        most = self.log_probs.shape[1] - 1
        if count is None:
            count = min(EIGENVALUES, most)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
            raise LeafError(
                f"count expects a whole number from 1 to C − 1 = {most}; got {count!r}."
            )
        _checked_rtol(rtol)
        return _joined(
            self._each(
                lambda products, _: leading_spectrum(
                    products, count, rtol, products.generators(self._seed)
                )
            )
        )

    def finite_derivatives(self) -> Tensor:  # (B,)
        """Whether the derivatives of each input are finite; its probabilities are."""
        return torch.cat(self._each(lambda products, _: products.finite()))

    def pushforward(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """A v, float64: the image of v under x ↦ 2√p, whose length is that of v in the metric G."""
        flat = self._flatten(v)
        return torch.cat(self._each(lambda products, rows: products.pushforward(flat[rows])))

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, ...)
        """Aᵀc, in the shape of the inputs and the type of the model."""
        c = checked_rows(c, self.log_probs)
        found = self._each(lambda products, rows: products.pullback(c[rows]))
        return torch.cat(found).reshape(self._inputs.shape)

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """G v for one vector per input, in the shape and type of v."""
        flat = self._flatten(v)
        found = self._each(lambda products, rows: products.product(flat[rows]))
        return torch.cat(found).reshape(v.shape).to(v)

    def projection(
        self, v: Tensor, *, rtol: float = PROJECTION_RTOL, max_iterations: int = MAX_ITERATIONS
    ) -> RowSpaceProjection:
        """Orthogonal projection of v on the tangent distribution D_x, with its estimated error.

        A projection that has not converged is tangent all the same: it lacks directions in which
        predictions change least.

        Args:
            v: One vector for each input.
            rtol: Estimated error at which to stop, relative to the projection.
            max_iterations: Iterations, of two products each, to stop at (≥ 1).

        Raises:
            LeafError: If v has another shape, or a number is out of its range.
        """
        _checked_whole(max_iterations, 1, "max_iterations")
        _checked_rtol(rtol)
        flat = self._flatten(v)
        return _joined(
            self._each(lambda products, rows: products.project(flat[rows], rtol, max_iterations))
        )

    def project(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Orthogonal projection of v on D_x (equation 9), to a thousandth where it converges."""
        return self.projection(v).projection.reshape(v.shape).to(v)

    def reject(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """V less its projection: the part in ker G, which the model does not see."""
        return v - self.project(v)

    def _flatten(self, v: Tensor) -> Tensor:  # (B, d)
        return checked_vectors(v, tuple(self._inputs.shape)).to(self.log_probs.device)

    def _each(self, question: Callable[[Products, slice], T]) -> list[T]:
        """The answers of all chunks, whose graphs are made and forgotten one after the other."""
        if _versions(self._classifier.model) != self._versions:
            raise LeafError(
                "The parameters of the model have changed since MatrixFreeDataMatrix.at; expected "
                "them as they were, because products are taken when asked for. Make a new one."
            )
        answers: list[T] = []
        with measuring(self._classifier) as classifier:
            for first in range(0, len(self), self._chunk_size):
                stop_if_wanted()
                rows = slice(first, first + self._chunk_size)
                answers.append(question(Products(classifier, self._inputs[rows]), rows))
        return answers


def matrix_free_data_matrix(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    chunk_size: int,
    seed: int,
) -> MatrixFreeDataMatrix:
    """Return the matrices of an open classifier at inputs from :meth:`Classifier.prepare`."""
    size = fitting_chunk_size(chunk_size, ROWS_OF_A_GRAPH, inputs[0].numel())
    classifier.require_usable(inputs[:size])
    scores = []
    for chunk in torch.split(inputs, size):
        stop_if_wanted()
        with torch.no_grad():
            scores.append(classifier.scores(chunk.clone()))
        require_finite(scores[-1], "the classifier's output")
    return MatrixFreeDataMatrix(classifier, inputs, log_softmax(torch.cat(scores)), size, seed)


def _versions(model: Callable[..., Any]) -> list[tuple[int, int]]:
    """Changes whenever a parameter is written to or replaced."""
    if not isinstance(model, nn.Module):
        return []
    return [
        (parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version)
        for parameter in model.parameters()
    ]


def _checked_whole(number: int, least: int, name: str) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise LeafError(f"{name} expects a whole number of at least {least}; got {number!r}.")


def _checked_rtol(rtol: float) -> None:
    if not 0 < rtol < 1:
        raise LeafError(f"rtol expects a relative error between 0 and 1; got {rtol!r}.")


def _joined(parts: list[D]) -> D:
    """One result of the results of all chunks: rows under each other, of counts the largest."""
    values = {}
    make: Callable[..., D] = type(parts[0])
    for field in fields(parts[0]):
        column = [getattr(part, field.name) for part in parts]
        values[field.name] = _stacked(column) if isinstance(column[0], Tensor) else max(column)
    return make(**values)


def _stacked(columns: list[Tensor]) -> Tensor:
    """Rows under each other, the shorter ones filled up with zeros."""
    if columns[0].ndim == 1:
        return torch.cat(columns)
    width = max(column.shape[1] for column in columns)
    pad = torch.nn.functional.pad
    return torch.cat([pad(column, (0, width - column.shape[1])) for column in columns])
