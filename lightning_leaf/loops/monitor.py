"""Measure a probe from a training loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lightning_leaf._arguments import whole_number
from lightning_leaf.data.batches import Split, require_finite
from lightning_leaf.data.evidence import Judgement
from lightning_leaf.display.sessions import latest_session, note_session
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.effective_rank import checked_ranks
from lightning_leaf.geometry.rank_kinds import Ranks
from lightning_leaf.loops.guard import Guard
from lightning_leaf.loops.processes import is_rank_zero, require_whole_module
from lightning_leaf.loops.writer import LeafWriter
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.unbuilt import ModelIsUnbuilt
from lightning_leaf.model.wrappers import unwrapped
from lightning_leaf.monitoring.advice import Task, advice_for, calling
from lightning_leaf.monitoring.history import (
    append_row,
    drop_after,
    empty_history,
    restored_history,
)
from lightning_leaf.monitoring.interval import estimated_interval
from lightning_leaf.monitoring.measurements import (
    are_finite,
    history_row,
    measure,
    not_finite_message,
)
from lightning_leaf.monitoring.measuring_interval import MeasuringInterval
from lightning_leaf.monitoring.messages import OnError, inform, one_line
from lightning_leaf.monitoring.reading import Reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATIENCE = 4
"""Calls at each of which a model that is not built yet is tried; later ones are spaced."""


class LeafMonitor:
    r"""Monitor of the local data matrix for training loops without a Lightning trainer.

    It measures trace and effective rank of G(x, w) at a fixed set of inputs, the probe, as
    :class:`LocalDataMatrixMonitor` does in a Lightning trainer, and writes the same numbers under
    the same names, such as ``leaf/trace_mean``. Call it anywhere in a loop, with the number of
    optimizer steps taken::

        monitor = LeafMonitor(probe, writer="runs/mnist", every_n_steps=100)
        for step, batch in enumerate(loader):
            monitor.measure_if_due(model, step)
            ...  # forward, backward, optimizer.step()
        monitor.measure(model, step + 1)

    Training with the monitor is bitwise identical to training without it. Wrong arguments raise an
    error when the monitor is created. Later errors never stop a training: the monitor warns once
    with the cause, through ``logging`` and as a warning, and measures no more.

    The model can be wrapped by Fabric (``fabric.setup``), DDP, Accelerate or ``torch.compile``; the
    monitor measures the module inside. Of several processes only the first one measures. Models of
    which each process holds a part (FSDP) are not supported.

    Args:
        probe: The inputs to measure: a tensor, or a batch of a data loader.
        writer: Where to write: a :class:`LeafWriter`, or what it takes. None: nowhere.
        every_n_steps: Steps between measurements of :meth:`measure_if_due`. The default keeps
            measuring below 2 % of a long training, see :class:`LocalDataMatrixMonitor`: it is
            chosen by the time between calls, so call :meth:`measure_if_due` at every step. Until
            then it is estimated from ``examples_per_step``, or 100.
        ranks: One or several kinds of effective ranks: ``"entropy"``, ``"stable"``,
            ``"participation"``, ``"threshold"``.
        name: Prefix of the names.
        forward: How to call the model, see :class:`LocalDataMatrixMonitor`.
        batch: Where inputs and labels are in ``probe``, see :class:`LocalDataMatrixMonitor`.
        likelihood: What the scores mean, see :class:`LocalDataMatrixMonitor`.
        class_names: Names of all classes.
        exact: Whether to use all classes even if there are more than 160.
        seed: Seed of the draws of estimates. The global random streams are not changed.
        chunk_size: Inputs per forward pass, halved each time memory runs out. Default: 32 on a
            CPU, what memory allows on a GPU.
        on_error: ``"warn"``: warn after an error. ``"raise"``: raise it, which ends the training.

    Attributes:
        history: All measurements so far: one list per column, and ``"step"``.
        interval: Steps between measurements. Without ``every_n_steps`` it is None before the
            first measurement, then estimated, and chosen by time after about 16 steps.

    Raises:
        LeafError: If an argument is out of its range, or the probe cannot be read.

    Example:
        >>> import torch
        >>> from lightning_leaf import LeafMonitor
        >>> model = torch.nn.Linear(4, 3)
        >>> monitor = LeafMonitor(torch.rand(8, 4), every_n_steps=2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> for step in range(5):
        ...     _ = monitor.measure_if_due(model, step)
        ...     optimizer.zero_grad()
        ...     model(torch.rand(16, 4)).square().sum().backward()
        ...     optimizer.step()
        >>> monitor.history["step"], sorted(monitor.history)[:2]
        ([0, 2, 4], ['effective_rank_entropy', 'step'])
    """

    def __init__(
        self,
        probe: Any,
        *,
        writer: LeafWriter | str | Path | Any | None = None,
        every_n_steps: int | None = None,
        ranks: Ranks = ("entropy",),
        name: str = "leaf",
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        self.name = name
        if every_n_steps is not None:
            whole_number(every_n_steps, "every_n_steps")
        self.every_n_steps = every_n_steps
        self._interval = MeasuringInterval(every_n_steps)
        self.ranks = checked_ranks(ranks)
        self.history: dict[str, list[float]] = empty_history(self.ranks)
        if writer is not None and not isinstance(writer, LeafWriter):
            writer = LeafWriter(writer, on_error=on_error)
        self.writer: LeafWriter | None = writer
        self._guard = Guard(f"LeafMonitor(name={shown(name)})", on_error)
        self._reading = Reading(forward, batch, likelihood, class_names)
        self._probe = self._reading.examples(probe)
        require_finite(self._probe.inputs)
        self._exact = exact
        self._seed = seed
        self._chunks = FittingChunks(chunk_size)
        self._judgement: Judgement | None = None
        self._attempts = 0  # to measure a model that was not built
        self._calls_to_skip = 0

    @property
    def interval(self) -> int | None:
        """Optimizer steps between measurements."""
        return self._interval.steps

    def measure_if_due(
        self, model: nn.Module, step: int, *, examples_per_step: int | None = None
    ) -> dict[str, float] | None:
        """Measure the model if a measurement is due: at the first call, then at regular steps.

        Args:
            model: The model, wrapped or not.
            step: Number of optimizer steps taken.
            examples_per_step: Examples of this process per optimizer step. The estimated interval
                depends on it.

        Returns:
            The measurement, by column name; None if none was made.
        """
        return self._guarded(model, step, examples_per_step, only_if_due=True)

    def measure(self, model: nn.Module, step: int) -> dict[str, float] | None:
        """Measure the model now, unless it was measured at this step.

        Args:
            model: The model, wrapped or not.
            step: Number of optimizer steps taken.

        Returns:
            The measurement, by column name; None in other processes and after an error.
        """
        return self._guarded(model, step, None, only_if_due=False)

    def _guarded(
        self, model: Any, step: int, examples_per_step: int | None, *, only_if_due: bool
    ) -> dict[str, float] | None:
        if not self._guard.active or not is_rank_zero():
            return None
        with self._guard.catching("reading the arguments"):
            step, model = index(step), unwrapped(model)
            require_whole_module(model)
            if only_if_due:
                self._interval.timer.step_begins(step, model)
                if not self._interval.is_due(step, self.history["step"]):
                    return None
        if not self._guard.active:
            return None
        if only_if_due and self._calls_to_skip:
            self._calls_to_skip -= 1
            return None
        steps = self.history["step"]
        if steps and steps[-1] == step:
            return {column: values[-1] for column, values in self.history.items()}
        try:
            with exits_as_errors(), self._interval.timer.measuring(step, model):
                row = self._row(model, step, examples_per_step)
        except ModelIsUnbuilt as error:
            self._postpone(error)
            return None
        except Exception as error:
            self._fail(error, model)
            return None
        if self.writer is not None:
            named = {f"{self.name}/{key}": value for key, value in row.items() if key != "step"}
            self.writer.scalars(named, step)
        if only_if_due and self._interval.timer.is_ready:
            self._choose_interval()
        return row

    def _row(self, module: Any, step: int, examples_per_step: int | None) -> dict[str, float]:
        inputs = self._probe.inputs
        self._interval.timer.require_reproducible()
        if self._judgement is None:
            self._judgement = self._reading.judge(module, self._probe, self._chunks)
            if self._judgement is not None:
                inform(self._judgement.assumption)
        with self._reading.opened(module, self._judgement) as classifier:
            measurements = self._chunks.run(
                lambda size: measure(
                    classifier,
                    inputs,
                    ranks=self.ranks,
                    chunk_size=size,
                    exact=self._exact,
                    seed=self._seed,
                )
            )
        first = measurements[0]
        if self.interval is None:
            self._interval.steps = estimated_interval(
                len(inputs), first.classes, examples_per_step, exact=first.exact
            )
        if self.history["step"] and step < self.history["step"][-1]:
            drop_after(self.history, step)  # the loop was restarted
        was_nan = math.isnan(next(iter(self.history["trace_median"][-1:]), 0.0))
        if not (was_nan or are_finite(measurements)):
            inform(f"{self._guard.owner}: {not_finite_message(measurements, step)}")
        row = history_row(measurements, self.ranks, self.history)
        row["step"] = step
        append_row(self.history, row)
        return row

    def _choose_interval(self) -> None:
        message = self._interval.choose(self._interval.timer.cost())
        if message is not None:
            inform(f"{self._guard.owner} {message}")

    def _fail(self, error: Exception, module: Any) -> None:
        forward = self._reading.forward
        doing = calling(module, forward, self._probe.inputs)
        advice = ""
        if issubclass(type(module), nn.Module):
            task = Task("calling", doing)
            advice = advice_for(error, task, module, forward, None, "LeafMonitor(probe)")
        self._guard.fail(error, doing, advice)

    def _postpone(self, error: Exception) -> None:
        if not self._attempts:
            inform(f"{self._guard.owner} waits until the model is built. Cause: {one_line(error)}")
        self._attempts += 1
        self._calls_to_skip = 2 ** max(0, self._attempts - PATIENCE) - 1

    def state_dict(self) -> dict[str, Any]:
        """Return the history and the interval, for a checkpoint."""
        return {
            "history": {column: list(values) for column, values in self.history.items()},
            "session": latest_session(),
            **self._interval.state_dict(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue the history of a checkpoint.

        If the state cannot be read, the monitor warns and begins anew.

        Args:
            state_dict: What :meth:`state_dict` returned.
        """
        columns = list(self.history)
        try:
            if not isinstance(state_dict, Mapping):
                raise LeafError(f"Expected a mapping; got {shown(state_dict)}.")
            history = restored_history(columns, state_dict.get("history", {}))
            note_session(state_dict.get("session"))
            self._interval.load_state_dict(state_dict)
        except Exception as error:
            self._guard.report(error, "begins anew, because its state cannot be read")
            history = restored_history(columns, {})
            self._interval.restart()
        self.history.update(history)

    def plot(self) -> Figure:
        """Plot the trace, the effective ranks and the tangent dimension over the steps.

        Returns:
            A matplotlib figure.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
        """
        from lightning_leaf.drawing.plotting import plot_history

        first = self.history["trace_median"][:1]
        return plot_history(self.history, reference=first[0] if first else None)
