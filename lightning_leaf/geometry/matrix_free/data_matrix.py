"""The local data matrix of many classes, by products with vectors instead of C gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.arguments import class_vectors, eigenvalue_count, input_vectors
from lightning_leaf.geometry.estimates import LeadingSpectrum, TraceEstimate
from lightning_leaf.geometry.matrix_free.leading_spectrum import leading_spectrum
from lightning_leaf.geometry.matrix_free.least_squares import RowSpaceProjection
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.trace_estimate import estimate_trace
from lightning_leaf.model.chunks import ROWS_OF_A_GRAPH, checked_chunk_size, chosen_chunk_size
from lightning_leaf.model.classifier import Classifier, measuring, require_finite
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import raise_if_interrupted
from lightning_leaf.model.likelihood import Likelihood

EXACT_CLASSES = 160
"""Largest number of classes for which one backward pass for each costs no more than an estimate,
which takes 64 draws and about 48 products of two passes."""
DRAWS = 64
EIGENVALUES = 8
SPECTRUM_RTOL = 1e-2
PROJECTION_RTOL = 1e-3
MAX_ITERATIONS = 160

T = TypeVar("T")
R = TypeVar("R", TraceEstimate, LeadingSpectrum, RowSpaceProjection)


class MatrixFreeDataMatrix:
    r"""G(x, w) of a batch of inputs of a classifier with many classes, by products alone.

    :class:`~lightning_leaf.LocalDataMatrix` takes one backward pass for each of the C classes and
    stores C gradients of every input. This class stores the inputs and computes each result from
    the products that it needs, most of which do not depend on C: A v = W J v, one differentiation
    in the direction v; Aᵀc = Jᵀ Wᵀ c, one backward pass; G v = AᵀA v, both. Each costs about as
    much as a forward pass. Products are computed in the precision of the model; for the types of
    results see :class:`~lightning_leaf.geometry.protocol.DataMatrix`.

    The matrix refers to the model. After a change of the parameters every method raises an error.

    Create one with :meth:`at`.

    Attributes:
        log_probs: log p(y|x), or log p_k(x) of every label, shape ``(B, C)``, float64.
        likelihood: What the scores mean, see :class:`~lightning_leaf.LocalDataMatrix`.

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
        self.likelihood = classifier.likelihood
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
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
    ) -> MatrixFreeDataMatrix:
        """Create the matrices at the inputs x. Only the predictions are computed.

        Args:
            model: Any classifier that :meth:`LocalDataMatrix.at` takes.
            x: Inputs of any shape, ``(B, ...)``, as the model takes them.
            chunk_size: Largest number of inputs at once; bounds memory. Default: on a CPU
                32, or 8 of 224×224 pixels; on a GPU what memory allows.
            seed: Seed of draws and starting vectors: the same call returns the same result.
            forward: How to call the model, see :meth:`LocalDataMatrix.at`.
            likelihood: What the scores mean, see :meth:`LocalDataMatrix.at`.

        Raises:
            LeafError, NonFiniteError: See :meth:`LocalDataMatrix.at`.
        """
        size = checked_chunk_size(chunk_size)
        with measuring(model, forward=forward, likelihood=likelihood, inputs=x) as classifier:
            return matrix_free_data_matrix(classifier, classifier.prepare(x), size, seed)

    def __len__(self) -> int:
        return self.log_probs.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(B, d, d)`` of G."""
        size = self._inputs[0].numel()
        return len(self), size, size

    def trace(self) -> Tensor:  # (B,)
        """Return tr G, float64, estimated from 64 backward passes, see :meth:`trace_estimate`."""
        return self.trace_estimate().value

    def trace_estimate(self, draws: int = DRAWS) -> TraceEstimate:
        """Return an unbiased estimate of tr G with its standard error.

        Args:
            draws: Number of backward passes, at least 4. Half of them take the classes or labels
                of the largest p (1 − p), exactly.

        Raises:
            LeafError: If ``draws`` is less than 4.
        """
        whole_number(draws, "draws", at_least=4)
        return _concatenated(
            self._each(
                lambda products, _: estimate_trace(
                    products.pullback,
                    products.weights.variances,
                    draws,
                    products.generators(self._seed),
                )
            )
        )

    def eigenvalues(self, count: int | None = None) -> Tensor:  # (B, count)
        """Return the largest eigenvalues of G, descending, float64, each to 1 %.

        Args:
            count: Number of eigenvalues, from 1 to C. Default: 8, or C if there are fewer classes.

        Raises:
            LeafError: If ``count`` is out of its range.
        """
        return self.spectrum(count).eigenvalues

    def spectrum(self, count: int | None = None, *, rtol: float = SPECTRUM_RTOL) -> LeadingSpectrum:
        """Return the largest eigenvalues with error bounds, and an estimate of the others.

        Args:
            count: Number of eigenvalues, from 1 to C. Default: 8, or C if there are fewer classes.
                At most C − 1 are not zero, or d for independent labels.
            rtol: Relative error of each eigenvalue. Stops after at most 160 products.

        Raises:
            LeafError: If ``count`` or ``rtol`` is out of its range.
        """
        count = eigenvalue_count(count, EIGENVALUES, self.log_probs.shape[1])
        _check_rtol(rtol)
        return _concatenated(
            self._each(
                lambda products, _: leading_spectrum(
                    products, count, rtol, products.generators(self._seed)
                )
            )
        )

    def finite_derivatives(self) -> Tensor:  # (B,)
        """Return a Boolean mask of the inputs with finite derivatives."""
        return torch.cat(self._each(lambda products, _: products.finite()))

    def pushforward(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return A v, float64. ‖A v‖ is the length of v in the metric G."""
        flat = self._flatten(v)
        return torch.cat(self._each(lambda products, rows: products.pushforward(flat[rows])))

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, ...)
        """Return Aᵀc, float64, in the shape of the inputs.

        Raises:
            LeafError: If c is not one vector of class space for each input.
        """
        c = class_vectors(c, self.log_probs)
        rows = self._each(lambda products, rows: products.pullback(c[rows]))
        return torch.cat(rows).reshape(self._inputs.shape).double()

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return G v for one vector per input, in the shape and type of v."""
        flat = self._flatten(v)
        rows = self._each(lambda products, rows: products.product(flat[rows]))
        return torch.cat(rows).reshape(v.shape).to(v)

    def projection(
        self, v: Tensor, *, rtol: float = PROJECTION_RTOL, max_iterations: int = MAX_ITERATIONS
    ) -> RowSpaceProjection:
        """Return the orthogonal projection of v on the tangent distribution D_x and its error.

        A projection that has not converged still lies in D_x. It lacks the directions in which
        predictions change least.

        Args:
            v: One vector for each input.
            rtol: Estimated error at which to stop, relative to the projection.
            max_iterations: Largest number of iterations, of two products each, at least 1.

        Raises:
            LeafError: If v has another shape, or a number is out of its range.
        """
        whole_number(max_iterations, "max_iterations")
        _check_rtol(rtol)
        flat = self._flatten(v)
        return _concatenated(
            self._each(lambda products, rows: products.project(flat[rows], rtol, max_iterations))
        )

    def project(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return the projection of v on D_x (equation 9), to 0.1 % where it converges."""
        return self.projection(v).projection.reshape(v.shape).to(v)

    def reject(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return v minus its projection: the part in ker G, to which predictions are insensitive.

        Insensitive to second order: KL(p(x) ‖ p(x + δ)) = ½ δᵀGδ + O(‖δ‖³) (equation 8).
        """
        return v - self.project(v)

    def _flatten(self, v: Tensor) -> Tensor:  # (B, d)
        return input_vectors(v, tuple(self._inputs.shape)).to(self.log_probs.device)

    def _each(self, compute: Callable[[Products, slice], T]) -> list[T]:
        """Return a result for each chunk. Only the graph of one chunk exists at a time."""
        if _versions(self._classifier.model) != self._versions:
            raise LeafError(
                "Results of MatrixFreeDataMatrix are computed lazily, and the parameters of the "
                "model have changed since MatrixFreeDataMatrix.at. Create a new matrix after "
                "changing parameters."
            )
        results: list[T] = []
        with measuring(self._classifier) as classifier:
            for first in range(0, len(self), self._chunk_size):
                raise_if_interrupted()
                rows = slice(first, first + self._chunk_size)
                results.append(compute(Products(classifier, self._inputs[rows]), rows))
        return results


def matrix_free_data_matrix(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    chunk_size: int | None,
    seed: int,
) -> MatrixFreeDataMatrix:
    """Create the matrices of an open classifier at inputs from :meth:`Classifier.prepare`."""
    classifier.require_usable(inputs[:chunk_size])
    size = chosen_chunk_size(chunk_size, classifier, ROWS_OF_A_GRAPH, inputs[0].numel())
    scores = []
    for chunk in torch.split(inputs, size):
        raise_if_interrupted()
        with torch.no_grad():
            scores.append(classifier.scores(chunk.clone()))
        require_finite(scores[-1], "the classifier's output")
    log_probs = classifier.log_probs(torch.cat(scores))
    return MatrixFreeDataMatrix(classifier, inputs, log_probs, size, seed)


def _versions(model: Callable[..., Any]) -> list[tuple[int, int]]:
    """Return numbers that change when a parameter is written to or replaced."""
    if not isinstance(model, nn.Module):
        return []
    return [
        (parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version)
        for parameter in model.parameters()
    ]


def _check_rtol(rtol: float) -> None:
    if not 0 < rtol < 1:
        raise LeafError(f"rtol expects a relative error between 0 and 1; got {shown(rtol)}.")


def _concatenated(parts: list[R]) -> R:
    """Return one result from those of all chunks: concatenated tensors, the largest counts."""
    values = {}
    make: Callable[..., R] = type(parts[0])
    for field in fields(parts[0]):
        column = [getattr(part, field.name) for part in parts]
        values[field.name] = _stacked(column) if isinstance(column[0], Tensor) else max(column)
    return make(**values)


def _stacked(tensors: list[Tensor]) -> Tensor:
    """Concatenate the rows of tensors, padded with zeros to the longest row."""
    if tensors[0].ndim == 1:
        return torch.cat(tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    pad = torch.nn.functional.pad
    return torch.cat([pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors])
