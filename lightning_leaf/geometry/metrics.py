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
from lightning_leaf.model.chunks import checked_chunk_size
from lightning_leaf.model.classifier import require_finite
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood, checked_likelihood


class _MeanOverInputs(Metric):
    """Mean of one number per input, from two sums that are reduced over processes.

    ``MetricCollection`` compares the states of its metrics after the first update. Metrics with
    equal states are then updated as one, for good. States can be equal by chance: at a zero
    initialization G, its trace and all ranks are zero. Their names therefore contain the class and
    its arguments, because only states of the same names are compared. In a state dict they are
    ``total`` and ``count``.

    Args:
        chunk_size: Inputs per forward pass.
        forward: How to call models.
        likelihood: What scores mean.
        kind: Argument of a subclass.
        kwargs: Arguments of :class:`torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None

    _ranks: tuple[RankKind, ...] = ()

    def __init__(
        self,
        *,
        chunk_size: int | None,
        forward: Forward | None,
        likelihood: Likelihood | None,
        kind: RankKind | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        checked_chunk_size(chunk_size)
        checked_likelihood(likelihood)
        # In a dict, because a module as an attribute would become a part of the metric.
        self._measuring: dict[str, Any] = {
            "chunk_size": chunk_size,
            "likelihood": likelihood,
            "forward": forward,
        }
        # Different functions can have the same name.
        named = f"function_{id(forward)}" if callable(forward) else forward
        values = (self._measuring | {"forward": named, "kind": kind}).items()
        given = [f"{name}_{value}" for name, value in values if value is not None]
        zeros = {
            "total": torch.zeros((), dtype=torch.float64),
            "count": torch.zeros((), dtype=torch.int64),
        }
        self._names = {name: "_".join([name, type(self).__name__, *given]) for name in zeros}
        for name, zero in zeros.items():
            self.add_state(self._names[name], zero, dist_reduce_fx="sum")

    def update(self, model: Callable[..., Any], x: Tensor) -> None:
        """Measure the inputs x, ``(B, ...)``, and add them to the mean.

        Args:
            model: Any classifier, see :meth:`LocalDataMatrix.at`. The metric does not keep it.
            x: Inputs, as the model takes them.

        Raises:
            LeafError: See :meth:`LocalDataMatrix.at`.
        """
        geometry = local_geometry(model, x, ranks=self._ranks, eigenvalues=0, **self._measuring)
        values = self._of(geometry)
        require_finite(values.unsqueeze(1), "the geometry of x")
        total, count = self._sums()
        setattr(self, self._names["total"], total + values.sum().to(total))
        setattr(self, self._names["count"], count + values.numel())

    def compute(self) -> Tensor:
        """Return the mean over all inputs so far, float64; NaN before the first input."""
        total, count = self._sums()
        return total / count

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Any = "") -> Any:
        """Move the sums to another device, unless it has no float64 (MPS)."""
        try:
            fn(torch.zeros((), dtype=torch.float64))
        except TypeError:
            exclude_state = list(self._names.values())
        return super()._apply(fn, exclude_state)

    def state_dict(  # type: ignore[override]  # as in torchmetrics
        self,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Return persistent states, as :class:`torchmetrics.Metric` does."""
        states = super().state_dict(destination, prefix, keep_vars)
        for saved, name in self._names.items():
            if prefix + name in states:
                states[prefix + saved] = states.pop(prefix + name)
        return states

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        for saved, name in self._names.items():
            if prefix + saved in state_dict:
                state_dict[prefix + name] = state_dict.pop(prefix + saved)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _sums(self) -> tuple[Tensor, Tensor]:
        return getattr(self, self._names["total"]), getattr(self, self._names["count"])

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
        forward: How to call the model, see :meth:`LocalDataMatrix.at`.
        likelihood: What the scores mean, see :meth:`LocalDataMatrix.at`.
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

    def __init__(
        self,
        *,
        chunk_size: int | None = None,
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(chunk_size=chunk_size, forward=forward, likelihood=likelihood, **kwargs)

    def _of(self, geometry: LocalGeometry) -> Tensor:
        return geometry.trace


class LocalDataMatrixEffectiveRank(_MeanOverInputs):
    r"""The mean effective rank of the local data matrix, (1/N) Σ_x rank G(x, w).

    Args:
        kind: Which effective rank, see :func:`effective_rank`.
        chunk_size: Inputs per forward pass, see :func:`local_geometry`.
        forward: How to call the model, see :meth:`LocalDataMatrix.at`.
        likelihood: What the scores mean, see :meth:`LocalDataMatrix.at`.
        kwargs: Arguments of :class:`torchmetrics.Metric`.

    Raises:
        LeafError: If ``kind`` or another argument is out of its range.

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
        self,
        kind: RankKind = "entropy",
        *,
        chunk_size: int | None = None,
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
        **kwargs: Any,
    ) -> None:
        one_of(kind, RANK_KINDS, "kind")
        super().__init__(
            chunk_size=chunk_size, forward=forward, likelihood=likelihood, kind=kind, **kwargs
        )
        self.kind = kind
        self._ranks = (kind,)

    def _of(self, geometry: LocalGeometry) -> Tensor:
        return geometry.effective_rank[self.kind]
