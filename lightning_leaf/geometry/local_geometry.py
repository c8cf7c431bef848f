"""Trace, spectrum and ranks at many inputs, in bounded memory, by whichever method costs less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.geometry.data_matrix import LocalDataMatrix, local_data_matrix
from lightning_leaf.geometry.effective_rank import RankKind, checked_ranks, effective_rank
from lightning_leaf.geometry.matrix_free.data_matrix import (
    EIGENVALUES,
    EXACT_CLASSES,
    MatrixFreeDataMatrix,
    matrix_free_data_matrix,
)
from lightning_leaf.model.chunks import checked_chunk_size
from lightning_leaf.model.classifier import Classifier, finite_rows, measuring


@dataclass(frozen=True)
class LocalGeometry:
    """What G(x, w) tells of every input of a batch.

    Attributes:
        log_probs: log p(y|x), ``(B, C)``.
        trace: tr G, ``(B,)``, in units of 1 / input².
        standard_error: Of the trace, ``(B,)``: zero where it is exact.
        eigenvalues: The k largest of G, descending, ``(B, k)``.
        effective_rank: Effective ranks by kind, ``(B,)`` each.
        tangent_dimension: dim D_x, ``(B,)``; NaN for many classes, where it is not known.
        exact: Whether every class was taken, or trace and ranks are estimates.

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
        """At which inputs there is anything to tell."""
        return self.trace.isfinite()


def local_geometry(
    model: Callable[..., Any],
    x: Tensor,  # (B, ...)
    *,
    ranks: Sequence[RankKind] = ("entropy",),
    eigenvalues: int = EIGENVALUES,
    chunk_size: int | None = None,
    exact: bool | None = None,
    seed: int = 0,
) -> LocalGeometry:
    """Measure any number of inputs, of classifiers with any number of classes.

    Only one chunk's gradients are held at a time. Up to 160 classes it takes one backward pass for
    each, as :class:`LocalDataMatrix`; beyond, 64 draws and some hundred products, as
    :class:`MatrixFreeDataMatrix`.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        x: Inputs, as the model takes them; some may hold NaN or infinity.
        ranks: Which effective ranks, see :func:`effective_rank`.
        eigenvalues: Largest eigenvalues wanted; there are C. With 0, and no ranks, no spectrum is
            taken.
        chunk_size: Inputs per forward pass at most. Default: 32, fewer of large inputs.
        exact: Whether to take every class. Default: up to 160 of them.
        seed: Of the draws where not every class is taken.

    Raises:
        LeafError: See :meth:`LocalDataMatrix.at`; also if an argument is out of its range.

    Example:
        >>> import torch
        >>> from lightning_leaf import local_geometry
        >>> _ = torch.manual_seed(0)
        >>> found = local_geometry(torch.nn.Linear(64, 10), torch.rand(100, 64))
        >>> found.exact, tuple(found.trace.shape), tuple(found.eigenvalues.shape)
        (True, (100,), (100, 8))
    """
    kinds = checked_ranks(ranks)
    if isinstance(eigenvalues, bool) or not isinstance(eigenvalues, int) or eigenvalues < 0:
        raise LeafError(f"eigenvalues expects a whole number, 0 or more; got {eigenvalues!r}.")
    size = checked_chunk_size(chunk_size)
    with measuring(model) as classifier:
        inputs = classifier.convert(x)
        finite = finite_rows(inputs).cpu().nonzero().flatten()
        classes = _classes(classifier, inputs, finite[:size])
        exact = classes <= EXACT_CLASSES if exact is None else exact

        def matrices(rows: Tensor) -> LocalDataMatrix | MatrixFreeDataMatrix:
            part = _rows_of(inputs, rows)
            if exact:
                return local_data_matrix(classifier, part, size)
            return matrix_free_data_matrix(classifier, part, size, seed)

        count = min(eigenvalues, classes if exact else classes - 1)
        found = _unknown(len(x), classes, count, kinds, exact)
        for first in range(0, len(x), size):
            rows = finite[(finite >= first) & (finite < first + size)]
            rows, g = _where_finite(classifier, matrices, inputs, rows)
            if g is not None:
                _measure(g, found, rows)
    return found


def _classes(classifier: Classifier, inputs: Tensor, finite: Tensor) -> int:
    usable = inputs[finite] if len(finite) else inputs[:1].nan_to_num(0, 0, 0)
    return classifier.require_usable(usable)


def _unknown(
    inputs: int, classes: int, count: int, kinds: tuple[RankKind, ...], exact: bool
) -> LocalGeometry:
    def nan(*shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=torch.float64)

    ranks = {kind: nan(inputs) for kind in kinds}
    trace, error, dimension = nan(inputs), nan(inputs), nan(inputs)
    spectrum = nan(inputs, count)
    return LocalGeometry(nan(inputs, classes), trace, error, spectrum, ranks, dimension, exact)


def _measure(g: LocalDataMatrix | MatrixFreeDataMatrix, found: LocalGeometry, rows: Tensor) -> None:
    """Write what G tells into the rows of its inputs; a spectrum that nobody wants is not taken."""
    count, ranks = found.eigenvalues.shape[1], found.effective_rank
    spectrum_wanted = count > 0 or len(ranks) > 0
    found.log_probs[rows] = g.log_probs.cpu()
    if isinstance(g, LocalDataMatrix):
        found.trace[rows] = g.trace().cpu()
        found.standard_error[rows] = 0
        found.tangent_dimension[rows] = g.tangent_dimension().double().cpu()
        if spectrum_wanted:
            spectrum = g.eigenvalues()
            found.eigenvalues[rows] = spectrum[:, :count].cpu()
            for kind, values in ranks.items():
                values[rows] = effective_rank(spectrum, kind).cpu()
    else:
        estimate = g.trace_estimate()
        found.trace[rows] = estimate.value.cpu()
        found.standard_error[rows] = estimate.standard_error.cpu()
        if spectrum_wanted:
            leading = g.spectrum(max(count, 1))
            found.eigenvalues[rows] = leading.eigenvalues[:, :count].cpu()
            for kind, values in ranks.items():
                values[rows] = leading.effective_rank(estimate.value, kind).cpu()


def _where_finite(
    classifier: Classifier,
    matrices: Callable[[Tensor], LocalDataMatrix | MatrixFreeDataMatrix],
    inputs: Tensor,  # (B, ...)
    rows: Tensor,  # (n,)
) -> tuple[Tensor, LocalDataMatrix | MatrixFreeDataMatrix | None]:
    """Return those of the rows where all is finite, and the local data matrices there."""
    if not len(rows):
        return rows, None
    try:
        g = matrices(rows)
    except NonFiniteError:
        with torch.no_grad():
            scores = classifier.scores(inputs[rows])
        rows = rows[finite_rows(scores).cpu()]
        if not len(rows):
            return rows, None
        g = matrices(rows)
    # Finite scores can have derivatives that are not finite, such as √x at zero.
    derivatives = g.finite_derivatives().cpu()
    if bool(derivatives.all()):
        return rows, g
    rows = rows[derivatives]
    return rows, matrices(rows) if len(rows) else None


def _rows_of(inputs: Tensor, rows: Tensor) -> Tensor:
    """Return some rows in ascending order, without a copy if they are consecutive."""
    first, last = int(rows[0]), int(rows[-1])
    return inputs[first : last + 1] if last - first + 1 == len(rows) else inputs[rows]
