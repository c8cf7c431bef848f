"""When to take a snapshot: functions of a moment of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, Literal, get_args

from lightning_leaf.errors import LeafError

Statistic = Literal["mean", "median"]
TriggerName = Literal["epoch", "checkpoint", "trace_return", "fit_end"]
History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Moment:
    """The state of a training between two optimizer steps.

    Attributes:
        step: Optimizer steps taken; the weights are w_step.
        epoch: Epochs completed.
        epoch_ended: An epoch was completed since the previous moment.
        checkpoint_saved: A checkpoint holds these weights.
        fit_ended: These are the last weights.
        history: What the :class:`LocalDataMatrixMonitor` has measured, this moment included where
            it was due: series over ``"step"``; None without a monitor.
    """

    step: int
    epoch: int
    epoch_ended: bool = False
    checkpoint_saved: bool = False
    fit_ended: bool = False
    history: History | None = None


class Trigger(ABC):
    """Decides at every moment of training whether to take a snapshot.

    A trigger depends on nothing but the moment, so that it decides the same after a resume. For
    one of your own, give it a ``reason`` and say when it fires.

    Attributes:
        reason: Shown with the snapshot.
        needs_history: Whether it reads :attr:`Moment.history`.
        same_on_all_ranks: Whether all processes of a distributed training are certain to decide
            alike. Otherwise rank zero decides for them, before every step.

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
        """Whether to take a snapshot at this moment."""


class AtSteps(Trigger):
    """At given numbers of optimizer steps; 0 is before the first.

    Raises:
        LeafError: If there is none, or one is not a whole number of at least 0.
    """

    reason = "step"
    same_on_all_ranks = True

    def __init__(self, *steps: int) -> None:
        if not steps:
            raise LeafError("AtSteps expects at least one step, such as AtSteps(100).")
        for step in steps:
            if isinstance(step, bool) or not isinstance(step, int) or step < 0:
                raise LeafError(f"when expects steps that are whole numbers ≥ 0; got {step!r}.")
        self.steps = frozenset(steps)

    def fires(self, moment: Moment) -> bool:
        return moment.step in self.steps


class AtEpochEnd(Trigger):
    """After every epoch."""

    reason = "epoch"
    same_on_all_ranks = True

    def fires(self, moment: Moment) -> bool:
        return moment.epoch_ended


class AtCheckpoint(Trigger):
    """Whenever a checkpoint was saved, and at a resume from one: it has its snapshot in any case.

    The snapshot is of the same weights; it is taken before the next step.
    """

    reason = "checkpoint"

    def fires(self, moment: Moment) -> bool:
        return moment.checkpoint_saved


class AtFitEnd(Trigger):
    """With the last weights."""

    reason = "fit_end"
    same_on_all_ranks = True

    def fires(self, moment: Moment) -> bool:
        return moment.fit_ended


class TraceReturn(Trigger):
    r"""When the trace of the local data matrix has risen and come back: once in a training.

    Grementieri & Fioresi, "Model-centric data manifold" (section 4.1), study the checkpoint at
    which "the smoothed mean trace of G is very similar to the one measured at the beginning":
    from then on some inputs have lost directions to which the model is sensitive. This makes
    their choice automatic.

    With t_k the statistic at the k-th measurement, s_k = median(t_{k−4}, …, t_k) and r the
    statistic at the first measurement from ``reference_step`` on, it fires at the first k with
    s_k ≤ r after some s_j > 1.1 r. Measurements that are not finite do not count, nor zeros before
    the first other one.

    It reads a :class:`LocalDataMatrixMonitor`, which the trainer must have, and fires only at its
    measurements.

    Args:
        statistic: Over the probe. The mean is carried by the few inputs about which the model
            still doubts; the median falls much earlier.
        reference_step: 0 for the value at initialisation. The paper's first value is the one
            at step 100, of the mean: ``TraceReturn("mean", 100)``.

    Raises:
        LeafError: If ``statistic`` is neither, or ``reference_step`` not a whole number ≥ 0.

    Example:
        >>> trigger = TraceReturn("median", reference_step=0)
        >>> trace = [1.0, 4.0, 6.0, 5.0, 3.0, 0.9, 0.8, 0.7, 0.7]
        >>> history = {"step": range(0, 900, 100), "trace_median": trace}
        >>> trigger.returned_at(history)
        700
    """

    reason = "trace_return"
    needs_history = True
    same_on_all_ranks = True  # they all have the same history

    SMOOTHED_OVER = 5
    RISE = 1.1

    def __init__(self, statistic: Statistic = "median", reference_step: int = 0) -> None:
        if statistic not in get_args(Statistic):
            raise LeafError(f"statistic expects 'mean' or 'median'; got {statistic!r}.")
        if isinstance(reference_step, bool) or not isinstance(reference_step, int):
            raise LeafError(f"reference_step expects a whole number ≥ 0; got {reference_step!r}.")
        if reference_step < 0:
            raise LeafError(f"reference_step expects a whole number ≥ 0; got {reference_step}.")
        self.statistic = statistic
        self.reference_step = reference_step

    def fires(self, moment: Moment) -> bool:
        history = moment.history
        if not history or not history["step"] or history["step"][-1] != moment.step:
            return False
        return self.returned_at(history) == moment.step

    def returned_at(self, history: History) -> int | None:
        """The step at which the trace had come back; None if it has not yet."""
        steps = history["step"]
        first = bisect_left(steps, self.reference_step)
        series = [
            (int(step), value)
            for step, value in zip(
                steps[first:], history[f"trace_{self.statistic}"][first:], strict=True
            )
            if abs(value) < float("inf")  # false for NaN too
        ]
        # A classifier whose last layer starts at zero has no trace at first: nothing to return to.
        while series and series[0][1] <= 0:
            del series[0]
        if not series:
            return None
        reference = series[0][1]
        risen = False
        for k, (step, _) in enumerate(series):
            window = series[max(0, k + 1 - self.SMOOTHED_OVER) : k + 1]
            smoothed = median(value for _, value in window)
            if risen and smoothed <= reference:
                return step
            risen = risen or smoothed > self.RISE * reference
        return None


When = int | TriggerName | Trigger
NAMED: Mapping[str, type[Trigger]] = {
    "epoch": AtEpochEnd,
    "checkpoint": AtCheckpoint,
    "trace_return": TraceReturn,
    "fit_end": AtFitEnd,
}


def triggers(when: When | Sequence[When]) -> tuple[Trigger, ...]:
    """The triggers that a ``when=`` argument stands for.

    Raises:
        LeafError: If it is none of a step, a name, a trigger or a list of these.
    """
    choices = list(when) if isinstance(when, (list, tuple)) else [when]
    if not choices:
        raise LeafError("when expects at least one moment; got an empty list.")
    return tuple(_trigger(choice) for choice in choices)


def _trigger(choice: object) -> Trigger:
    if isinstance(choice, Trigger):
        return choice
    if isinstance(choice, str) and choice in NAMED:
        return NAMED[choice]()
    if isinstance(choice, int):
        return AtSteps(choice)
    raise LeafError(
        f"when expects a step, one of {', '.join(map(repr, NAMED))}, a Trigger, or a list of "
        f"these; got {choice!r}."
    )
