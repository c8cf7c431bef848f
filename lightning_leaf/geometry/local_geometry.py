"""Trace, spectrum and ranks at any number of inputs, in bounded memory, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import NonFiniteError
from lightning_leaf.geometry.data_matrix import LocalDataMatrix, local_data_matrix
from lightning_leaf.geometry.effective_rank import checked_ranks
from lightning_leaf.geometry.matrix_free.data_matrix import (
    EIGENVALUES,
    EXACT_CLASSES,
    matrix_free_data_matrix,
)
from lightning_leaf.geometry.matrix_free.logit_jacobian import products_available
from lightning_leaf.geometry.protocol import DataMatrix
from lightning_leaf.geometry.rank_kinds import RankKind, Ranks
from lightning_leaf.model.chunks import checked_chunk_size, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier, checked_inputs, finite_rows, measuring
from lightning_leaf.model.forward import Forward
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
        chunk_size: Largest number of inputs per forward pass. Default: 32, fewer of large inputs.
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
        classes = _classes(classifier, x[:size])
        all_classes = classes <= EXACT_CLASSES if exact is None else exact

        def matrices(inputs: Tensor) -> DataMatrix:
            if all_classes:
                return local_data_matrix(classifier, inputs, size)
            return matrix_free_data_matrix(classifier, inputs, size, seed)

        geometry = _all_nan(len(x), classes, min(eigenvalues, classes), kinds)
        for first in range(0, len(x), size):
            inputs = classifier.convert(x[first : first + size])  # one chunk on the device
            if exact is None and not all_classes:
                all_classes = not products_available(classifier, inputs)
            # Matrices of all classes keep the gradients of their inputs.
            fitting = fitting_chunk_size(size, classes, inputs[0].numel()) if all_classes else size
            for offset in range(0, len(inputs), fitting):
                part = inputs[offset : offset + fitting]
                rows, g = _where_finite(classifier, matrices, part)
                if g is not None:
                    _measure(g, geometry, first + offset + rows)
    return replace(geometry, exact=all_classes)


def _classes(classifier: Classifier, x: Tensor) -> int:
    inputs = classifier.convert(x)
    finite = finite_rows(inputs)
    usable = inputs[finite] if bool(finite.any()) else inputs[:1].nan_to_num(0, 0, 0)
    return classifier.require_usable(usable)


def _all_nan(inputs: int, classes: int, count: int, kinds: tuple[RankKind, ...]) -> LocalGeometry:
    def nan(*shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=torch.float64)

    ranks = {kind: nan(inputs) for kind in kinds}
    trace, error, dimension = nan(inputs), nan(inputs), nan(inputs)
    spectrum = nan(inputs, count)
    return LocalGeometry(nan(inputs, classes), trace, error, spectrum, ranks, dimension, True)


def _measure(g: DataMatrix, geometry: LocalGeometry, rows: Tensor) -> None:
    """Write the results of the matrices into the rows of their inputs."""
    trace = g.trace_estimate()
    geometry.log_probs[rows] = g.log_probs.cpu()
    geometry.trace[rows] = trace.value.cpu()
    geometry.standard_error[rows] = trace.standard_error.cpu()
    if isinstance(g, LocalDataMatrix):  # products do not determine the dimension
        geometry.tangent_dimension[rows] = g.tangent_dimension().double().cpu()
    count, ranks = geometry.eigenvalues.shape[1], geometry.effective_rank
    if count == 0 and not ranks:
        return
    spectrum = g.spectrum(max(count, 1))
    geometry.eigenvalues[rows] = spectrum.eigenvalues[:, :count].cpu()
    for kind, values in ranks.items():
        values[rows] = spectrum.effective_rank(trace.value, kind).cpu()


def _where_finite(
    classifier: Classifier,
    matrices: Callable[[Tensor], DataMatrix],
    inputs: Tensor,  # (n, ...)
) -> tuple[Tensor, DataMatrix | None]:
    """Return the rows where inputs, scores and derivatives are finite, and the matrices there."""
    rows = finite_rows(inputs).cpu().nonzero().flatten()
    if not len(rows):
        return rows, None
    try:
        g = matrices(_select(inputs, rows))
    except NonFiniteError:
        with torch.no_grad():
            scores = classifier.scores(inputs[rows])
        rows = rows[finite_rows(scores).cpu()]
        if not len(rows):
            return rows, None
        g = matrices(_select(inputs, rows))
    # Finite scores can have derivatives that are not finite, such as √x at zero.
    derivatives = g.finite_derivatives().cpu()
    if bool(derivatives.all()):
        return rows, g
    rows = rows[derivatives]
    return rows, matrices(_select(inputs, rows)) if len(rows) else None


def _select(inputs: Tensor, rows: Tensor) -> Tensor:
    """Return some rows in ascending order, without a copy if they are consecutive."""
    first, last = int(rows[0]), int(rows[-1])
    return inputs[first : last + 1] if last - first + 1 == len(rows) else inputs[rows]
