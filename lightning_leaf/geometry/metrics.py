"""torchmetrics classes: averages over a data set, reduced over processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_leaf._arguments import one_of
from lightning_leaf.geometry.local_geometry import LocalGeometry, local_geometry
from lightning_leaf.geometry.rank_kinds import RANK_KINDS, RankKind
from lightning_leaf.model.classifier import require_finite


class _MeanOverInputs(Metric):
    """Mean of one number per input, from two sums that are reduced over processes."""

    full_state_update = False
    is_differentiable = False
    higher_is_better = None

    total: Tensor
    count: Tensor
    _ranks: tuple[RankKind, ...] = ()

    def __init__(self, *, chunk_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chunk_size = chunk_size
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, model: Callable[..., Any], x: Tensor) -> None:
        """Measure the inputs x, ``(B, ...)``, and add them to the mean.

        Args:
            model: Any classifier, see :meth:`LocalDataMatrix.at`. The metric does not keep it.
            x: Inputs, as the model takes them.

        Raises:
            LeafError: See :meth:`LocalDataMatrix.at`.
        """
        geometry = local_geometry(
            model, x, ranks=self._ranks, eigenvalues=0, chunk_size=self.chunk_size
        )
        values = self._of(geometry)
        require_finite(values.unsqueeze(1), "the geometry of x")
        self.total += values.sum().to(self.total)
        self.count += values.numel()

    def compute(self) -> Tensor:
        """Return the mean over all inputs so far, float64; NaN before the first input."""
        return self.total / self.count

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw ``val``, or the current value, with torchmetrics' own style.

        Args:
            val: One value of ``compute``, or a sequence of values.
            ax: A matplotlib axis to draw on.

        Returns:
            The figure and the axis.
        """
        return self._plot(val, ax)

    def _of(self, geometry: LocalGeometry) -> Tensor:  # (B,)
        raise NotImplementedError


class LocalDataMatrixTrace(_MeanOverInputs):
    r"""The mean trace of the local data matrix, (1/N) Σ_x tr G(x, w), in units of 1 / input².

    The quantity of Figure 2 of Grementieri & Fioresi. ``plot()`` draws it, as for every
    torchmetrics metric.

    Args:
        chunk_size: Inputs per forward pass, see :func:`local_geometry`.
        kwargs: Arguments of :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from lightning_leaf import LocalDataMatrixTrace
        >>> metric = LocalDataMatrixTrace()
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = torch.nn.init.eye_(model.weight)
        >>> metric.update(model, torch.zeros(3, 2))
        >>> f"{metric.compute().item():.6f}"  # p = (½, ½): tr(diag p − ppᵀ) = ½
        '0.500000'
    """

    def _of(self, geometry: LocalGeometry) -> Tensor:
        return geometry.trace


class LocalDataMatrixEffectiveRank(_MeanOverInputs):
    r"""The mean effective rank of the local data matrix, (1/N) Σ_x rank G(x, w).

    Args:
        kind: Which effective rank, see :func:`effective_rank`.
        chunk_size: Inputs per forward pass, see :func:`local_geometry`.
        kwargs: Arguments of :class:`torchmetrics.Metric`.

    Raises:
        LeafError: If ``kind`` is unknown.

    Example:
        >>> import torch
        >>> from lightning_leaf import LocalDataMatrixEffectiveRank
        >>> metric = LocalDataMatrixEffectiveRank(kind="stable")
        >>> model = torch.nn.Linear(2, 2)
        >>> metric.update(model, torch.zeros(3, 2))
        >>> f"{metric.compute().item():.6f}"  # two classes: one direction
        '1.000000'
    """

    def __init__(
        self, kind: RankKind = "entropy", *, chunk_size: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(chunk_size=chunk_size, **kwargs)
        one_of(kind, RANK_KINDS, "kind")
        self.kind = kind
        self._ranks = (kind,)

    def _of(self, geometry: LocalGeometry) -> Tensor:
        return geometry.effective_rank[self.kind]
