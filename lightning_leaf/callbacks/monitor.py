"""The trace and the rank of the local data matrix while a classifier trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lightning_leaf.callbacks.base import LeafCallback, OnError, checked_count
from lightning_leaf.callbacks.probes import Inputs, choose_inputs
from lightning_leaf.geometry.effective_rank import RankKind, checked_ranks
from lightning_leaf.geometry.local_geometry import local_geometry
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES
from lightning_leaf.model.quiet import quiet, random_streams
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.figure import Figure

    from lightning_leaf.data.batches import Examples

DEFAULT_PROBE = 32
SHARE_OF_TRAINING = 0.016
"""Of a training's arithmetic that measuring takes where nothing is said."""
UNKNOWN_INTERVAL = 100
"""Where the arithmetic cannot be told: batches without tensors."""


@dataclass(frozen=True)
class Found:
    """What was measured at one input; NaN where the module returns what is not finite."""

    trace: float
    standard_error: float
    ranks: tuple[float, ...]
    tangent_dimension: float
    classes: int


class LocalDataMatrixMonitor(LeafCallback):
    r"""Logs how a classifier's local data matrix G(x, w) changes while it trains.

    For every input x of a fixed probe, G = E_{y∼p}[∇ₓ log p_y ∇ₓ log p_yᵀ] (equation 6 of
    Grementieri & Fioresi, "Model-centric data manifold"). Logged at step 0, then at every n-th
    optimizer step, and at the end of fit:

    ================================ ==========================================================
    ``leaf/trace_mean``              mean of tr G over the probe, in units of 1 / input²
    ``leaf/trace_median``            its median: the mean is carried by few doubtful inputs
    ``leaf/trace_ratio``             the median over its first value above zero
    ``leaf/effective_rank_<kind>``   mean effective rank, see :func:`effective_rank`
    ``leaf/tangent_dimension``       mean dimension of the tangent distribution D_x, at most C − 1
    ``leaf/trace_standard_error``    of the mean, where it is an estimate
    ================================ ==========================================================

    Up to 160 classes every class is taken; beyond, traces and ranks are estimated, see
    :class:`MatrixFreeDataMatrix`, and the tangent dimension is not known.

    They go to all loggers of the trainer and into ``trainer.callback_metrics``, where
    ``EarlyStopping`` and ``ModelCheckpoint`` find them. The value at step k belongs to the weights
    after k optimizer steps, like the training loss that Lightning logs at k. NaN is logged once
    weights have diverged. The module is measured in evaluation mode by its own ``forward``, and
    the training is left exactly as it was.

    Args:
        probe: On which inputs: how many examples of the validation (else training) data set;
            which positions in it; or a tensor of inputs, a pair of inputs and labels, a data set
            (32 of its examples).
        every_n_steps: Optimizer steps between measurements. Default: as many as keep measuring
            below 2 % of the training. A step takes about three forward passes' worth of
            arithmetic for each of its B examples; measuring takes C (one forward, C − 1
            backward passes to the input) for each of P inputs; n = P C / (3 B · 1.6 %), rounded up
            to two digits: 120 for ten classes and batches of 60. More than 160 classes cost as
            many as 160.
        ranks: Which effective ranks to log: ``"entropy"``, ``"stable"``, ``"participation"``,
            ``"threshold"``.
        name: Prefix of the logged names; distinct for each monitor of a trainer.
        seed: Chooses the probe; global random streams are not touched.
        chunk_size: Inputs per forward pass; bounds memory.
        on_error: ``"warn"``: on an error, warn once, naming the cause, and measure no more in this
            fit; ``"raise"``: let it end the training.

    Attributes:
        history: Everything measured so far, lists by name without prefix, with ``"step"``. Saved
            in checkpoints, so that it goes on after a resume.
        interval: Steps between measurements, chosen at the first one where nothing was said.

    Raises:
        LeafError: If an argument is out of its range.

    Example:
        >>> from lightning_leaf.callbacks import LocalDataMatrixMonitor
        >>> monitor = LocalDataMatrixMonitor(every_n_steps=100, ranks=["entropy", "stable"])
        >>> sorted(monitor.history)[:2]
        ['effective_rank_entropy', 'effective_rank_stable']

        .. code-block:: python

            trainer = L.Trainer(callbacks=[monitor])
            trainer.fit(model, datamodule)
            monitor.plot()
    """

    def __init__(
        self,
        probe: Inputs = DEFAULT_PROBE,
        every_n_steps: int | None = None,
        ranks: Sequence[RankKind] = ("entropy",),
        *,
        name: str = "leaf",
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(name, chunk_size, on_error)
        if isinstance(probe, int):
            checked_count(probe, "probe")
        self.every_n_steps = (
            None if every_n_steps is None else checked_count(every_n_steps, "every_n_steps")
        )
        self.interval = self.every_n_steps
        self.ranks = checked_ranks(ranks)
        self._wanted = probe
        self._seed = seed
        self._probe: Examples | None = None
        self._has_begun = False
        self.history: dict[str, list[float]] = {
            column: []
            for column in (
                "step",
                "trace_mean",
                "trace_median",
                "trace_ratio",
                *(f"effective_rank_{kind}" for kind in self.ranks),
                "tangent_dimension",
            )
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._probe, self._has_begun = None, False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.measure_if_due(trainer, pl_module, batch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measure_if_due(trainer, pl_module, fit_ended=True)
        self._probe = None

    def measure_if_due(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any = None,
        *,
        fit_ended: bool = False,
    ) -> None:
        """Measure and log, unless it is not the time or already done at this step.

        Snapshot callbacks call it too, so that what they read does not depend on the order of
        callbacks. All ranks must call it; they share the probe.
        """
        if not self.active(trainer):
            return
        with self.guarded(trainer):
            step = trainer_state.steps_taken(trainer)
            if not self._has_begun:
                # At the first step, so that a mistake shows at once, and a batch is at hand.
                self._has_begun = True
                self._forget_after(step)
                if not self.history["step"]:
                    self.interval = self.every_n_steps
                self._probe = self._choose_probe(trainer, pl_module, batch)
            steps = self.history["step"]
            due = fit_ended or not steps or self.interval is None or step % self.interval == 0
            if not due or (steps and steps[-1] == step):
                return
            found = self._measure(pl_module)
            if self.interval is None:
                self.interval = self._affordable(trainer, found, batch)
            if not steps and found[0].classes > EXACT_CLASSES:
                self._say_that_it_estimates(found[0].classes)
            self._record(trainer, step, self._row(found))

    def _forget_after(self, start: int) -> None:
        """Drop what an earlier fit measured beyond the point where this one starts."""
        kept = sum(step <= start for step in self.history["step"]) if start else 0
        for values in self.history.values():
            del values[kept:]

    def _choose_probe(self, trainer: Trainer, module: LightningModule, batch: Any) -> Examples:
        with quiet(module):
            return self.processes.like_zero(
                lambda: choose_inputs(
                    self._wanted,
                    trainer,
                    module,
                    batch,
                    seed=self._seed,
                    default_count=DEFAULT_PROBE,
                )
            )

    def _measure(self, module: LightningModule) -> list[Found]:
        assert self._probe is not None
        inputs = self._probe.inputs[self.processes.share(len(self._probe))]
        with quiet(module), self.processes.same_module(module) as measured:
            shares = self.processes.everywhere(
                lambda: self._chunks.run(lambda size: self._found(measured, inputs, size))
            )
        return self.processes.merge(shares)

    def _found(self, module: nn.Module, inputs: Tensor, chunk_size: int) -> list[Found]:
        if not len(inputs):
            return []  # more processes than inputs
        # Estimates may take more passes in one process than in another, and they must not then.
        exact = True if self.processes.module_is_shared else None
        geometry = local_geometry(
            module, inputs, ranks=self.ranks, chunk_size=chunk_size, exact=exact, seed=self._seed
        )
        columns = (geometry.trace, geometry.standard_error, geometry.tangent_dimension)
        ranks = [geometry.effective_rank[kind] for kind in self.ranks]
        classes = geometry.log_probs.shape[1]
        return [
            Found(trace, error, tuple(row), dimension, classes)
            for trace, error, dimension, *row in zip(
                *(column.tolist() for column in (*columns, *ranks)), strict=True
            )
        ]

    def _affordable(self, trainer: Trainer, found: list[Found], batch: Any) -> int:
        """The interval at which measuring takes a small share of the training."""
        examples = trainer_state.examples_per_step(trainer, batch)
        inputs = max(1, len(self.processes.share(len(found))))
        interval = (
            UNKNOWN_INTERVAL
            if examples is None
            else affordable_interval(inputs, found[0].classes, examples)
        )
        return self.processes.on_zero(lambda: interval)  # batches of the ranks may differ

    def _say_that_it_estimates(self, classes: int) -> None:
        rank_zero_info(
            f"{type(self).__name__}(name={self.name!r}): for {classes} classes the trace is "
            f"estimated, with a standard error, and effective ranks come from the leading "
            f"eigenvalues; {self.name}/tangent_dimension is not known."
        )

    def _row(self, found: list[Found]) -> dict[str, float]:
        if any(math.isnan(one.trace) for one in found):
            return dict.fromkeys(self.history, math.nan)
        trace = torch.tensor([one.trace for one in found], dtype=torch.float64)
        errors = [one.standard_error for one in found]
        row = {
            "trace_mean": trace.mean().item(),
            "trace_median": trace.quantile(0.5).item(),
        }
        if any(errors):
            row["trace_standard_error"] = math.hypot(*errors) / len(errors)
        else:
            row["tangent_dimension"] = fmean(one.tangent_dimension for one in found)
        ranks = zip(*(one.ranks for one in found), strict=True)
        for kind, values in zip(self.ranks, ranks, strict=True):
            row[f"effective_rank_{kind}"] = fmean(values)
        return row

    def _record(self, trainer: Trainer, step: int, row: dict[str, float]) -> None:
        # Classifiers whose last layer starts at zero have no trace at first.
        medians = [*self.history["trace_median"], row["trace_median"]]
        first = next((median for median in medians if median > 0), 0.0)
        row = row | {"trace_ratio": row["trace_median"] / first if first else float("nan")}
        row["step"] = step
        known = len(self.history["step"])
        for column in row:
            self.history.setdefault(column, [math.nan] * known)
        for column, values in self.history.items():
            values.append(row.get(column, math.nan))
        metrics = {
            f"{self.name}/{column}": value for column, value in row.items() if column != "step"
        }
        with random_streams():
            self.processes.everywhere(
                lambda: [logger.log_metrics(metrics, step=step) for logger in trainer.loggers]
            )
        trainer.callback_metrics.update(
            {name: torch.tensor(value) for name, value in metrics.items()}
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": {column: list(values) for column, values in self.history.items()},
            "interval": self.interval,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("history", {"step": []})  # another version may have kept others
        unknown = [float("nan")] * len(saved["step"])
        if "trace_standard_error" in saved:
            self.history["trace_standard_error"] = []
        for column in self.history:  # other ranks may have been asked for before
            self.history[column] = list(saved.get(column, unknown))
        if self.every_n_steps is None:
            self.interval = state_dict.get("interval")

    def plot(self) -> Figure:
        """Trace with its first value, effective ranks and tangent dimension over the steps.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
        """
        from lightning_leaf.drawing.plotting import plot_history

        first = self.history["trace_median"][:1]
        return plot_history(self.history, reference=first[0] if first else None)


def affordable_interval(inputs: int, classes: int, examples_per_step: int) -> int:
    """Steps after which measuring has taken its share of a training, rounded up to two digits."""
    passes = min(classes, EXACT_CLASSES)  # one forward, the others backward
    steps = math.ceil(inputs * passes / (3 * examples_per_step * SHARE_OF_TRAINING))
    unit = int(10 ** max(0, len(str(steps)) - 2))
    return math.ceil(steps / unit) * unit
