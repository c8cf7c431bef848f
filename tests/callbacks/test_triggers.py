"""Triggers fire at the right steps."""

import math
from collections import UserList

import pytest

from lightning_leaf import LeafError
from lightning_leaf.callbacks import (
    AtCheckpoint,
    AtEpochEnd,
    AtFitEnd,
    AtSteps,
    Moment,
    TraceReturn,
    Trigger,
)
from lightning_leaf.callbacks.triggers import triggers

RISE_AND_FALL = [1.0, 2.0, 5.0, 6.0, 5.0, 3.0, 2.0, 0.9, 0.8, 0.8, 0.7, 0.7]


def history(trace: list[float], every: int = 100) -> dict[str, list[float]]:
    steps = [every * i for i in range(len(trace))]
    return {"step": steps, "trace_mean": trace, "trace_median": trace}


def fired_at(trigger: Trigger, trace: list[float], every: int = 100) -> list[int]:
    """Return the steps at which a trigger fires, one call after each measurement."""
    whole = history(trace, every)
    moments = (
        Moment(step, epoch=0, history={key: values[: i + 1] for key, values in whole.items()})
        for i, step in enumerate(whole["step"])
    )
    return [moment.step for moment in moments if trigger.fires(moment)]


def test_trace_return_fires_once_after_the_smoothed_trace_rose_and_returned():
    # The median of the last five values is 0.9 at step 900, and 2.0 at step 800.
    assert fired_at(TraceReturn(), RISE_AND_FALL) == [900]


@pytest.mark.parametrize(
    "trace",
    [
        [1.0, 0.9, 0.8, 0.7, 0.6, 0.5],
        [1.0, 1.05, 1.04, 1.02, 0.9, 0.8, 0.7],
        [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0],
        [math.nan] * 8,
    ],
    ids=["never rises", "noise of five percent", "never falls", "diverged from the start"],
)
def test_trace_return_does_not_fire(trace):
    assert fired_at(TraceReturn(), trace) == []


def test_a_single_low_outlier_does_not_count_as_a_return():
    outlier = [1.0, 3.0, 5.0, 6.0, 0.5, 6.0, 6.0, 6.0]
    assert fired_at(TraceReturn(), outlier) == []
    # Without smoothing the trace would have returned:
    assert min(outlier[2:]) < outlier[0]


def test_trace_return_reads_the_chosen_statistic():
    both = history(RISE_AND_FALL) | {"trace_mean": [1.0, *[5.0] * 11]}
    assert TraceReturn("median").returned_at(both) == 900
    assert TraceReturn("mean").returned_at(both) is None


def test_the_reference_is_the_first_finite_value_from_the_reference_step_on():
    # The trace returns to its value 1.0 at step 100, but not to 0.1 at step 0.
    later = history([0.1, *RISE_AND_FALL])
    assert TraceReturn(reference_step=0).returned_at(later) is None
    assert TraceReturn(reference_step=100).returned_at(later) == 1000
    assert TraceReturn(reference_step=50).returned_at(later) == 1000
    assert TraceReturn().returned_at(history([math.nan, *RISE_AND_FALL])) == 1000


def test_a_missed_return_does_not_fire_later():
    """A return is missed if the callback was added when the run resumed."""
    late = Moment(step=1100, epoch=0, history=history(RISE_AND_FALL))
    assert not TraceReturn().fires(late)
    on_time = {key: values[:10] for key, values in history(RISE_AND_FALL).items()}
    assert TraceReturn().fires(Moment(step=900, epoch=0, history=on_time))


def test_trace_return_fires_only_at_measurements():
    on_time = {key: values[:10] for key, values in history(RISE_AND_FALL).items()}
    assert not TraceReturn().fires(Moment(step=901, epoch=0, history=on_time))
    assert not TraceReturn().fires(Moment(step=0, epoch=0, history={"step": []}))
    assert not TraceReturn().fires(Moment(step=900, epoch=0, history=None))


def test_when_is_converted_to_triggers():
    trigger = TraceReturn("mean", 100)
    kinds = [
        type(each)
        for each in triggers([3, "epoch", "checkpoint", "trace_return", "fit_end", trigger])
    ]
    assert kinds == [AtSteps, AtEpochEnd, AtCheckpoint, TraceReturn, AtFitEnd, TraceReturn]
    assert triggers(trigger) == (trigger,)
    assert triggers("trace_return")[0].statistic == "median"


@pytest.mark.parametrize(
    "steps",
    [range(0, 300, 100), (0, 100, 200), UserList([0, 100, 200])],
    ids=lambda s: type(s).__name__,
)
def test_when_takes_sequences_of_any_kind(steps):
    """Lists of configurations, such as OmegaConf's, have classes of their own."""
    fired = [step for step in range(300) for each in triggers(steps) if each.fires(Moment(step, 0))]
    assert fired == [0, 100, 200]


@pytest.mark.parametrize("when", ["epochs", -1, True, 2.5, None, [], [[1]], ["epoch", "never"]])
def test_an_invalid_when_raises_an_error(when):
    with pytest.raises(LeafError, match="expect"):
        triggers(when)


@pytest.mark.parametrize("arguments", [{"statistic": "mode"}, {"reference_step": -1}])
def test_invalid_arguments_of_trace_return_raise_an_error(arguments):
    with pytest.raises(LeafError, match="expects"):
        TraceReturn(**arguments)


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        (AtEpochEnd(), "epoch_ended"),
        (AtCheckpoint(), "checkpoint_saved"),
        (AtFitEnd(), "fit_ended"),
    ],
)
def test_triggers_fire_for_their_own_field_of_the_moment_only(trigger, field):
    fields = {"epoch_ended", "checkpoint_saved", "fit_ended"}
    assert trigger.fires(Moment(5, 1, **{field: True}))
    assert not trigger.fires(Moment(5, 1, **dict.fromkeys(fields - {field}, True)))


def test_at_steps_fires_at_the_given_steps_only():
    trigger = AtSteps(0, 7)
    assert [step for step in range(20) if trigger.fires(Moment(step, 0))] == [0, 7]
