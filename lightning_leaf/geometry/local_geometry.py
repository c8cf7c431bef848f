"""Trace, spectrum and ranks at any number of inputs, in bounded memory, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import NonFiniteError
from lightning_leaf.geometry.class_space import ClassSpace
from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.geometry.data_matrix import scores_and_gradients
from lightning_leaf.geometry.effective_rank import checked_ranks
from lightning_leaf.geometry.estimates import LeadingSpectrum, TraceEstimate
from lightning_leaf.geometry.matrix_free.data_matrix import (
    EIGENVALUES,
    EXACT_CLASSES,
    MatrixFreeDataMatrix,
    matrix_free_data_matrix,
)
from lightning_leaf.geometry.matrix_free.logit_jacobian import products_available
from lightning_leaf.geometry.rank_kinds import RankKind, Ranks
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.chunks import (
    CHUNK_SIZE,
    ROWS_OF_A_GRAPH,
    checked_chunk_size,
    chosen_chunk_size,
)
from lightning_leaf.model.classifier import Classifier, checked_inputs, finite_rows, measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import raise_if_interrupted
from lightning_leaf.model.likelihood import Likelihood


@dataclass(frozen=True)
class LocalGeometry:
    """Trace, spectrum and ranks of G(x, w) at every input of a batch.

    Attributes:
        log_probs: log p(y|x), or log p_k(x) of independent labels, ``(B, C)``.
        trace: tr G, ``(B,)``, in units of 1 / input².
        standard_error: Standard error of the trace, ``(B,)``; zero where the trace is exact.
        eigenvalues: The k largest eigenvalues of G, descending, ``(B, k)``.
        effective_rank: Effective ranks by kind, ``(B,)`` each.
        tangent_dimension: dim D_x, ``(B,)``; NaN where trace and ranks are estimates.
        exact: Whether the gradients of all classes were used. If not, trace and ranks are
            estimates from products.

    All tensors are float64 on the CPU, NaN where input, scores or derivatives are not finite.
    """

    log_probs: Tensor
    trace: Tensor
    standard_error: Tensor
    eigenvalues: Tensor
    effective_rank: dict[RankKind, Tensor]
    tangent_dimension: Tensor
    exact: bool

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def finite(self) -> Tensor:  # (B,)
        """Boolean mask of inputs whose result is finite."""
        return self.trace.isfinite()


def local_geometry(
    model: Callable[..., Any],
    x: Tensor,  # (B, ...)
    *,
    ranks: Ranks = ("entropy",),
    eigenvalues: int = EIGENVALUES,
    chunk_size: int | None = None,
    exact: bool | None = None,
    seed: int = 0,
    forward: Forward | None = None,
    likelihood: Likelihood | None = None,
) -> LocalGeometry:
    """Measure any number of inputs, of classifiers with any number of classes.

    The model is opened once, and only the gradients of one chunk are in memory at a time. Up to
    160 classes it takes one backward pass for each, as :class:`LocalDataMatrix`; beyond, 64 draws
    for the trace and about 50 products (at most 160) for the spectrum, as
    :class:`MatrixFreeDataMatrix`. Products need a model that can be differentiated twice, or in
    forward mode. Other models take one backward pass for each class, however many there are.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        x: Inputs, as the model takes them; some may contain NaN or infinity.
        ranks: Which effective rank or ranks, see :func:`effective_rank`.
        eigenvalues: Number of largest eigenvalues, at most C. With 0, and no ranks, no spectrum is
            computed.
        chunk_size: Largest number of inputs per forward pass. Default: 32 on the CPU, what memory
            allows on a GPU, fewer of large inputs.
        exact: Whether to use all classes. Default: for up to 160 classes, and if the model does
            not allow products. :attr:`LocalGeometry.exact` tells which.
        seed: Seed of the draws and starting vectors of estimates.
        forward: How to call the model, see :meth:`LocalDataMatrix.at`.
        likelihood: What the scores mean, see :meth:`LocalDataMatrix.at`.

    Returns:
        One row for each input, on the CPU.

    Raises:
        LeafError: See :meth:`LocalDataMatrix.at`; also if an argument is out of its range.

    Example:
        >>> import torch
        >>> from lightning_leaf import local_geometry
        >>> _ = torch.manual_seed(0)
        >>> geometry = local_geometry(torch.nn.Linear(64, 10), torch.rand(100, 64))
        >>> geometry.exact, tuple(geometry.trace.shape), tuple(geometry.eigenvalues.shape)
        (True, (100,), (100, 8))
    """
    kinds = checked_ranks(ranks)
    whole_number(eigenvalues, "eigenvalues", at_least=0)
    size = checked_chunk_size(chunk_size)
    checked_inputs(x, "x")
    with measuring(model, forward=forward, likelihood=likelihood, inputs=x) as classifier:
        classes = _classes(classifier, x[: size or CHUNK_SIZE])
        all_classes = classes <= EXACT_CLASSES if exact is None else exact
        geometry = _all_nan(len(x), classes, min(eigenvalues, classes), kinds)
        first = 0
        while first < len(x):
            last = first + _fitting(classifier, size, classes if all_classes else None, x)
            # Not all models accept NaN.
            rows = first + finite_rows(x[first:last]).cpu().nonzero().flatten()
            first = last
            if not len(rows):
                continue
            chunk = classifier.convert(_select(x, rows))  # only one is on the device
            if exact is None and not all_classes:
                all_classes = not products_available(classifier, chunk)
            if all_classes:
                fitting = _fitting(classifier, size, classes, x)
                for part in zip(
                    torch.split(chunk, fitting), torch.split(rows, fitting), strict=True
                ):
                    _measure_all_classes(classifier, *part, geometry)
            else:
                _estimate(classifier, chunk, rows, geometry, seed)
    return replace(geometry, exact=all_classes)


def _classes(classifier: Classifier, x: Tensor) -> int:
    finite = finite_rows(x)
    usable = x[finite][:2] if bool(finite.any()) else x[:1]
    # Finite numbers can overflow in the precision of the model.
    return classifier.require_usable(classifier.convert(usable).nan_to_num(0, 0, 0))


def _fitting(classifier: Classifier, size: int | None, classes: int | None, x: Tensor) -> int:
    """Return the number of inputs to measure at once; None as classes stands for products."""
    return chosen_chunk_size(size, classifier, classes or ROWS_OF_A_GRAPH, x[0].numel())


def _all_nan(inputs: int, classes: int, count: int, kinds: tuple[RankKind, ...]) -> LocalGeometry:
    def nan(*shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=torch.float64)

    ranks = {kind: nan(inputs) for kind in kinds}
    trace, error, dimension = nan(inputs), nan(inputs), nan(inputs)
    spectrum = nan(inputs, count)
    return LocalGeometry(nan(inputs, classes), trace, error, spectrum, ranks, dimension, True)


def _measure_all_classes(
    classifier: Classifier, inputs: Tensor, rows: Tensor, geometry: LocalGeometry
) -> None:
    """Measure a chunk. An accelerator sends its results to the host once."""
    raise_if_interrupted()
    scores, gradients = scores_and_gradients(classifier, SpanningGradients(classifier), inputs)
    # The difference is zero, or NaN where a score is not finite.
    log_probs = classifier.log_probs(scores) + (scores - scores)
    tangent = TangentSpace(gradients)
    space = ClassSpace(log_probs, tangent.gram, classifier.likelihood, tangent.rounding).on_host()
    finite = space.finite()
    if not bool(finite.any()):
        return
    if not bool(finite.all()):
        space, rows = space.select(finite), rows[finite]
    trace = space.trace()
    exact = TraceEstimate(trace, torch.zeros_like(trace), scores.shape[1])
    geometry.tangent_dimension[rows] = space.tangent_dimension().double()
    _write(geometry, rows, space.log_probs, exact, lambda _: space.spectrum())


def _estimate(
    classifier: Classifier, inputs: Tensor, rows: Tensor, geometry: LocalGeometry, seed: int
) -> None:
    """Measure a chunk by products."""
    finite, g = _where_finite(classifier, inputs, seed)
    if g is not None:
        _write(geometry, rows[finite], g.log_probs, g.trace_estimate(), g.spectrum)


def _write(
    geometry: LocalGeometry,
    rows: Tensor,
    log_probs: Tensor,
    trace: TraceEstimate,
    spectrum: Callable[[int], LeadingSpectrum],
) -> None:
    """Write the results of some inputs into their rows."""
    geometry.log_probs[rows] = log_probs.cpu()
    geometry.trace[rows] = trace.value.cpu()
    geometry.standard_error[rows] = trace.standard_error.cpu()
    count, ranks = geometry.eigenvalues.shape[1], geometry.effective_rank
    if count == 0 and not ranks:
        return
    leading = spectrum(max(count, 1))
    geometry.eigenvalues[rows] = leading.eigenvalues[:, :count].cpu()
    for kind, values in ranks.items():
        values[rows] = leading.effective_rank(trace.value, kind).cpu()


def _where_finite(
    classifier: Classifier,
    inputs: Tensor,  # (n, ...)
    seed: int,
) -> tuple[Tensor, MatrixFreeDataMatrix | None]:
    """Return the rows where scores and derivatives are finite, and the matrices there."""

    def matrices(rows: Tensor) -> MatrixFreeDataMatrix:
        return matrix_free_data_matrix(classifier, _select(inputs, rows), None, seed)

    rows = torch.arange(len(inputs))
    try:
        g = matrices(rows)
    except NonFiniteError:
        with torch.no_grad():
            scores = classifier.scores(inputs)
        rows = finite_rows(scores).cpu().nonzero().flatten()
        if not len(rows):
            return rows, None
        g = matrices(rows)
    # Finite scores can have derivatives that are not finite, such as √x at zero.
    derivatives = g.finite_derivatives().cpu()
    if bool(derivatives.all()):
        return rows, g
    rows = rows[derivatives]
    return rows, matrices(rows) if len(rows) else None


def _select(inputs: Tensor, rows: Tensor) -> Tensor:
    """Return some rows in ascending order, without a copy if they are consecutive."""
    first, last = int(rows[0]), int(rows[-1])
    return inputs[first : last + 1] if last - first + 1 == len(rows) else inputs[rows]
