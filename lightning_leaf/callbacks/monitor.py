"""A callback that logs the trace and the effective rank of the local data matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_leaf._arguments import whole_number
from lightning_leaf.callbacks.base import LeafCallback
from lightning_leaf.callbacks.measurement_log import MeasurementLog
from lightning_leaf.callbacks.probes import Inputs, choose_inputs
from lightning_leaf.callbacks.shared_measurement import common_interval, measure_share
from lightning_leaf.callbacks.user_inputs import require_no_text
from lightning_leaf.data.batches import Split
from lightning_leaf.geometry.effective_rank import checked_ranks
from lightning_leaf.geometry.rank_kinds import Ranks
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.unbuilt import require_built
from lightning_leaf.monitoring.advice import Task
from lightning_leaf.monitoring.history import (
    append_row,
    drop_after,
    empty_history,
    restored_history,
)
from lightning_leaf.monitoring.measurements import (
    are_finite,
    history_row,
    not_finite_message,
)
from lightning_leaf.monitoring.measuring_interval import MeasuringInterval
from lightning_leaf.monitoring.messages import OnError, inform
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.figure import Figure

    from lightning_leaf.data.batches import Examples

DEFAULT_PROBE = 32


class LocalDataMatrixMonitor(LeafCallback):
    r"""A callback that logs the local data matrix G(x, w) of a classifier during training.

    The monitor chooses a fixed set of inputs, the probe, and measures at each input x::

        G(x, w) = E_{y∼p} [∇ₓ log p_y(x) ∇ₓ log p_y(x)ᵀ]

    (equation 6 of Grementieri & Fioresi, "Model-centric data manifold"). It measures at step 0,
    then every ``every_n_steps`` optimizer steps, and at the end of the fit. It logs:

    ================================ ==========================================================
    ``leaf/trace_mean``              mean of tr G over the probe, in units of 1 / input²
    ``leaf/trace_median``            median of tr G; less sensitive to a few uncertain inputs
    ``leaf/trace_ratio``             the median relative to its first value above zero
    ``leaf/effective_rank_<kind>``   mean effective rank, see :func:`effective_rank`
    ``leaf/tangent_dimension``       mean dimension of the tangent distribution D_x, at most C − 1
    ``leaf/trace_standard_error``    standard error of the mean trace, if the trace is estimated
    ================================ ==========================================================

    With at most 160 classes the values are exact. With more classes the trace and the effective
    ranks are estimates, see :class:`MatrixFreeDataMatrix`, and the tangent dimension is not logged.

    All loggers of the trainer receive the values. They are also in ``trainer.callback_metrics``, so
    that ``EarlyStopping`` and ``ModelCheckpoint`` can monitor them. The value at step k belongs to
    the weights after k optimizer steps, like the training loss that Lightning logs at step k. If
    the weights diverge, the monitor logs NaN.

    The monitor calls ``forward`` of the module in evaluation mode. Training with the monitor is
    bitwise identical to training without it. A module that is built by its first forward pass is
    measured from the step on at which the trainer has built it.

    The curve shows the weights that are trained. If a callback has replaced them by averaged
    weights at the end of the fit (``StochasticWeightAveraging``, ``WeightAveraging``), the monitor
    logs the last measurement under ``leaf_averaged/`` instead, and not in the history.

    Args:
        probe: The inputs to measure: their number, taken from the validation data set (from the
            training data set if there is no validation data set that can be indexed); a list of
            positions in that data set; a tensor of inputs; a pair of inputs and labels; or a data
            set, of which the monitor takes 32 examples.
        every_n_steps: Optimizer steps between measurements. The default keeps measuring below 2 %
            of the time of a long training: a few of the first steps and one measurement are timed,
            and the interval is that at which measuring takes 1.6 %, rounded up to two significant
            digits. Until then, and in trainings with deterministic algorithms, whose intervals
            must not depend on time, it is estimated from the number of passes: 120 steps for 32
            inputs, ten classes and batches of 60.
        ranks: One or several kinds of effective ranks: ``"entropy"``, ``"stable"``,
            ``"participation"``, ``"threshold"``.
        forward: How to call the module, if not as ``module(x)``: the name of a method or sub-module
            that computes the scores, such as ``"backbone"`` or ``"predict_logits"``; a function
            ``(module, inputs) -> scores``; or the dotted name of such a function.
        batch: Where inputs and labels are in a batch, if not where they usually are: names of keys,
            such as ``("pixels", "target")``; a function ``batch -> (inputs, labels)``; or the
            dotted name of such a function.
        likelihood: What the scores mean: ``"categorical"``, the logits of exclusive classes, or
            ``"bernoulli"``, those of independent labels. The default is judged from the targets,
            and logged.
        class_names: Names of all classes. Default: those of the data set.
        exact: Whether to use all classes even if there are more than 160. Default: only if products
            with the Jacobian of the module cannot be computed.
        name: Prefix of the logged names. It must be different for each LEAF callback of a trainer.
        seed: Seed for choosing the probe. The global random number generators are not changed.
        chunk_size: Inputs per forward pass; limits the memory used. It is halved each time memory
            runs out. Default: 32 on a CPU, what memory allows on a GPU.
        on_error: ``"warn"``: after an error, warn once with its cause, and stop measuring for the
            rest of the fit. ``"raise"``: raise the error, which ends the training.

    Attributes:
        history: All measurements so far: one list per column, named as above without the prefix,
            and ``"step"``. Checkpoints save it, and a resumed run continues it.
        interval: Steps between measurements. Without ``every_n_steps`` it is None before the
            first measurement, then estimated, and chosen by time after about 16 steps.

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

    _inputs_name = "probe"
    _inputs_argument = "probe=(inputs, labels)"

    def __init__(
        self,
        probe: Inputs = DEFAULT_PROBE,
        every_n_steps: int | None = None,
        ranks: Ranks = ("entropy",),
        *,
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
        name: str = "leaf",
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(
            name,
            forward=forward,
            batch=batch,
            likelihood=likelihood,
            class_names=class_names,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(probe, int):
            whole_number(probe, "probe")
        if every_n_steps is not None:
            whole_number(every_n_steps, "every_n_steps")
        self.every_n_steps = every_n_steps
        self.exact = exact
        self.ranks = checked_ranks(ranks)
        self.history: dict[str, list[float]] = empty_history(self.ranks)
        require_no_text(probe, self._inputs_name)
        self._wanted = probe
        self._seed = seed
        self._probe: Examples | None = None
        self._has_begun = False
        self._last_step: int | None = None  # of the last measurement, also of averaged weights
        self._interval = MeasuringInterval(every_n_steps)
        self._results_seen = 0  # of all LEAF callbacks

    @property
    def interval(self) -> int | None:
        """Optimizer steps between measurements."""
        return self._interval.steps

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._probe, self._has_begun, self._last_step = None, False, None
        self._interval.timer.interrupt()

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._interval.timer.interrupt()

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._interval.timer.interrupt()

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.measure_if_due(trainer, pl_module, batch)

    @override
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
        """Measure and log, if a measurement is due that has not been made at this step.

        Snapshot callbacks call this method before they read the history, so that the order of the
        callbacks does not matter. All processes must call it; they share the probe.

        Args:
            trainer: The trainer.
            pl_module: The module to measure.
            batch: The batch of the current step, if there is one. The probe is taken from it if no
                data set can be indexed.
            fit_ended: Whether these are the last weights of the fit.
        """
        step = trainer_state.steps_taken(trainer)
        if not self.active(trainer, step):
            return
        if self._has_begun and self._interval.timer.is_over and not self._is_due(step, fit_ended):
            return

        def work() -> None:
            if not self._has_begun:
                self._begin(trainer, pl_module, batch, step)
            timer = self._interval.timer
            if self.fit.results != self._results_seen:  # a snapshot was taken
                timer.interrupt()
            timer.step_begins(step, pl_module)
            if self._is_due(step, fit_ended):
                averaged = fit_ended and self._weights_are_averaged(pl_module)
                with timer.measuring(step, pl_module):
                    self._measure(trainer, pl_module, batch, step, averaged)
                if timer.is_ready and not fit_ended:
                    self._choose_interval(trainer)
            self._results_seen = self.fit.results

        self.guarded(work, trainer, pl_module, batch, step, catch_ctrl_c=fit_ended)

    def _begin(self, trainer: Trainer, module: LightningModule, batch: Any, step: int) -> None:
        """Choose the probe at the first step: a batch is available, and errors are raised early."""
        self._task = Task("choosing", "choosing the probe")
        require_built(module)
        drop_after(self.history, step)
        if not self.history["step"]:
            self._interval.restart()
        self._interval.timer.require_reproducible()
        if self._probe is None:
            with quiet(module):  # reading a data set may draw random numbers
                self._probe = self.processes.broadcast(
                    lambda: choose_inputs(
                        self._wanted,
                        trainer,
                        module,
                        batch,
                        seed=self._seed,
                        default_count=DEFAULT_PROBE,
                        split=self.batch,
                        class_names=self.class_names,
                    )
                )
            self._note_origin(trainer, self._wanted)
        self._judge(trainer, module, self._probe)
        self._has_begun = True

    def _is_due(self, step: int, fit_ended: bool) -> bool:
        measured = self.history["step"]
        is_new = step not in (self._last_step, *measured[-1:])
        return is_new and (fit_ended or self._interval.is_due(step, measured))

    def _measure(
        self, trainer: Trainer, module: LightningModule, batch: Any, step: int, averaged: bool
    ) -> None:
        assert self._probe is not None
        inputs = self._probe.inputs
        self._task = self._calling(module, inputs, f"measuring the probe at step {step}")
        with self._measuring(module) as classifier:
            measurements = measure_share(
                classifier,
                inputs,
                self.processes,
                self._chunks,
                ranks=self.ranks,
                exact=self.exact,
                seed=self._seed,
            )
        if self.interval is None:
            examples = trainer_state.examples_per_step(trainer, batch)
            self._interval.steps = common_interval(measurements, examples, self.processes)
        log = MeasurementLog(self.description, self.name)
        if not self.history["step"] and not measurements[0].exact:
            log.report_estimates(measurements[0].classes)
        row = history_row(measurements, self.ranks, self.history)
        if not are_finite(measurements):
            message = f"{self.description}: {not_finite_message(measurements, step)}"
            self.fit.notices.inform_once(message, about=f"NaN of {self.description}")
        self._task = Task("publishing", f"logging the measurement of step {step}")
        if averaged:
            log.report_averaged()
        else:
            append_row(self.history, {"step": step} | row)
        self._last_step = step
        log.log(row, step, trainer, self.processes, averaged=averaged)
        self._has_measured()

    def _choose_interval(self, trainer: Trainer) -> None:
        """Choose the interval by time, the same on all ranks."""
        cost = self.processes.on_rank_zero(self._interval.timer.cost)
        message = self._interval.choose(cost, trainer_state.steps_planned(trainer))
        if message is not None:
            inform(f"{self.description} {message}")

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "history": {column: list(values) for column, values in self.history.items()},
            **self._interval.state_dict(),
        }

    @override
    def _restore(self, state: Mapping[Any, Any]) -> None:
        history = restored_history(list(self.history), state.get("history", {}))
        self._interval.load_state_dict(state)
        self.history.update(history)

    @override
    def _forget(self) -> None:
        self.history.update(restored_history(list(self.history), {}))
        self._interval.restart()

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
