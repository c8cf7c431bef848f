"""Triggers: they decide at each step of a training whether to take a snapshot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar, Literal, get_args

from typing_extensions import override

from lightning_leaf._arguments import listed, one_of, whole_number
from lightning_leaf.errors import LeafError, shown

Statistic = Literal["mean", "median"]
TriggerName = Literal["epoch", "checkpoint", "trace_return", "fit_end"]
History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Moment:
    """The state of a training between two optimizer steps.

    It is the argument of :meth:`~lightning_leaf.Trigger.fires`.

    Attributes:
        step: Optimizer steps taken so far.
        epoch: Epochs completed so far.
        epoch_ended: Whether an epoch was completed since the previous moment.
        checkpoint_saved: Whether a checkpoint with the current weights was saved.
        fit_ended: Whether these are the last weights of the fit.
        history: The history of the :class:`~lightning_leaf.LocalDataMatrixMonitor`, including the
            measurement at this step if there is one; None without a monitor.
    """

    step: int
    epoch: int
    epoch_ended: bool = False
    checkpoint_saved: bool = False
    fit_ended: bool = False
    history: History | None = None


class Trigger(ABC):
    """The base class of triggers, which decide at each step whether to take a snapshot.

    To write a trigger, set ``reason`` and implement :meth:`fires`. The decision must depend only on
    the moment, so that it is the same after a resume.

    Attributes:
        reason: Short text that is shown with the snapshot.
        needs_history: Whether the trigger reads ``Moment.history``.
        same_on_all_ranks: Whether all processes of a distributed training always decide alike.
            Otherwise rank zero decides for all processes, which costs one broadcast per step.

    Example:
        >>> from lightning_leaf.callbacks import Trigger
        >>> class PowersOfTwo(Trigger):
        ...     reason = "power of two"
        ...     def fires(self, moment):
        ...         return moment.step.bit_count() == 1
        >>> [step for step in range(20) if PowersOfTwo().fires(Moment(step, epoch=0))]
        [1, 2, 4, 8, 16]
    """

    reason: ClassVar[str]
    needs_history: ClassVar[bool] = False
    same_on_all_ranks: ClassVar[bool] = False

    @abstractmethod
    def fires(self, moment: Moment) -> bool:
        """Return whether to take a snapshot at this moment."""


class AtSteps(Trigger):
    """A trigger that fires at given numbers of optimizer steps.

    Args:
        *steps: Numbers of optimizer steps; 0 is before the first step.

    Raises:
        LeafError: If there is no step, or a step is not a whole number of at least 0.

    Example:
        >>> from lightning_leaf.callbacks import AtSteps
        >>> [step for step in range(200) if AtSteps(0, 100).fires(Moment(step, epoch=0))]
        [0, 100]
    """

    reason = "step"
    same_on_all_ranks = True

    def __init__(self, *steps: int) -> None:
        if not steps:
            raise LeafError("AtSteps expects at least one step, such as AtSteps(100); got none.")
        self.steps = frozenset(whole_number(step, "steps", at_least=0) for step in steps)

    @override
    def fires(self, moment: Moment) -> bool:
        return moment.step in self.steps


class AtEpochEnd(Trigger):
    """A trigger that fires at the end of each epoch."""

    reason = "epoch"
    same_on_all_ranks = True

    @override
    def fires(self, moment: Moment) -> bool:
        return moment.epoch_ended


class AtCheckpoint(Trigger):
    """A trigger that fires when a checkpoint was saved, and when a run resumes from one.

    The snapshot shows the weights of the checkpoint. It is taken before the next step.
    """

    reason = "checkpoint"

    @override
    def fires(self, moment: Moment) -> bool:
        return moment.checkpoint_saved


class AtFitEnd(Trigger):
    """A trigger that fires at the end of the fit, with the last weights."""

    reason = "fit_end"
    same_on_all_ranks = True

    @override
    def fires(self, moment: Moment) -> bool:
        return moment.fit_ended


class TraceReturn(Trigger):
    r"""A trigger that fires once, when the trace has risen and returned to its initial value.

    Grementieri & Fioresi, "Model-centric data manifold" (section 4.1), study the checkpoint at
    which "the smoothed mean trace of G is very similar to the one measured at the beginning". This
    trigger finds that checkpoint.

    Let t_k be the statistic at the k-th measurement, s_k = median(t_{k−4}, …, t_k) the smoothed
    statistic, and r the statistic at the first measurement from ``reference_step`` on. The trigger
    fires at the first k with s_k ≤ r after some s_j > 1.1 r. Non-finite measurements are ignored,
    and so are zeros before the first non-zero one.

    The trigger reads the history of a :class:`LocalDataMatrixMonitor`, which the trainer must have,
    and fires only at steps at which the monitor measures.

    Args:
        statistic: ``"median"`` or ``"mean"`` of the trace over the probe. The mean is dominated by
            the few inputs about which the model is uncertain; the median falls much earlier.
        reference_step: Step of the reference value; 0 is at initialization. The first value in the
            paper is the mean at step 100: ``TraceReturn("mean", 100)``.

    Raises:
        LeafError: If ``statistic`` is neither, or ``reference_step`` is not a whole number of at
            least 0.

    Example:
        >>> trigger = TraceReturn("median", reference_step=0)
        >>> trace = [1.0, 4.0, 6.0, 5.0, 3.0, 0.9, 0.8, 0.7, 0.7]
        >>> history = {"step": range(0, 900, 100), "trace_median": trace}
        >>> trigger.returned_at(history)
        700
    """

    reason = "trace_return"
    needs_history = True
    same_on_all_ranks = True  # all processes have the same history

    SMOOTHING_WINDOW = 5
    RISE = 1.1

    def __init__(self, statistic: Statistic = "median", reference_step: int = 0) -> None:
        one_of(statistic, get_args(Statistic), "statistic")
        self.statistic = statistic
        self.reference_step = whole_number(reference_step, "reference_step", at_least=0)

    @override
    def fires(self, moment: Moment) -> bool:
        history = moment.history
        if not history or not history["step"] or history["step"][-1] != moment.step:
            return False
        return self.returned_at(history) == moment.step

    def returned_at(self, history: History) -> int | None:
        """Return the step at which the trace had returned, or None if it has not returned yet.

        Args:
            history: Lists by column name, with ``"step"`` and ``"trace_median"`` or
                ``"trace_mean"``, such as ``LocalDataMatrixMonitor.history``.
        """
        steps = history["step"]
        first = bisect_left(steps, self.reference_step)
        series = [
            (int(step), value)
            for step, value in zip(
                steps[first:], history[f"trace_{self.statistic}"][first:], strict=True
            )
            if abs(value) < float("inf")  # False for NaN too
        ]
        # The trace is zero at first if the last layer of the classifier is initialized to zero.
        while series and series[0][1] <= 0:
            del series[0]
        if not series:
            return None
        reference = series[0][1]
        risen = False
        for k, (step, _) in enumerate(series):
            window = series[max(0, k + 1 - self.SMOOTHING_WINDOW) : k + 1]
            smoothed = median(value for _, value in window)
            if risen and smoothed <= reference:
                return step
            risen = risen or smoothed > self.RISE * reference
        return None


When = int | TriggerName | Trigger
MOST_TRIGGERS = 1000
"""Largest number of triggers of a callback."""
NAMED: Mapping[str, type[Trigger]] = {
    "epoch": AtEpochEnd,
    "checkpoint": AtCheckpoint,
    "trace_return": TraceReturn,
    "fit_end": AtFitEnd,
}


def triggers(when: When | Sequence[When]) -> tuple[Trigger, ...]:
    """Return the triggers that a ``when=`` argument describes.

    Raises:
        LeafError: If it is not a step, a name, a trigger, or a list of these.
    """
    is_sequence = isinstance(when, Sequence) and not isinstance(when, str)
    choices: list[Any] = listed(when, "when", MOST_TRIGGERS) if is_sequence else [when]  # type: ignore[arg-type]
    if not choices:
        raise LeafError(
            "when expects at least one step, name or trigger, such as when='fit_end'; got an empty "
            "list."
        )
    return tuple(_trigger(choice) for choice in choices)


def _trigger(choice: object) -> Trigger:
    if isinstance(choice, Trigger):
        return choice
    if isinstance(choice, str) and choice in NAMED:
        return NAMED[choice]()
    if isinstance(choice, int):
        return AtSteps(whole_number(choice, "when", at_least=0))
    raise LeafError(
        f"when expects a step, one of {', '.join(map(repr, NAMED))}, a Trigger, or a list of "
        f"these; got {shown(choice)}."
    )
