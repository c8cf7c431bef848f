import math

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
    """Steps at which a trigger fires if it is asked after every measurement."""
    whole = history(trace, every)
    moments = (
        Moment(step, epoch=0, history={key: values[: i + 1] for key, values in whole.items()})
        for i, step in enumerate(whole["step"])
    )
    return [moment.step for moment in moments if trigger.fires(moment)]


def test_trace_return_fires_once_after_the_smoothed_trace_has_risen_and_come_back():
    # The median of the last five is 0.9 at step 900, and 2.0 the measurement before.
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


def test_one_low_outlier_is_not_a_return():
    outlier = [1.0, 3.0, 5.0, 6.0, 0.5, 6.0, 6.0, 6.0]
    assert fired_at(TraceReturn(), outlier) == []
    # The same trace without smoothing would have returned:
    assert min(outlier[2:]) < outlier[0]


def test_trace_return_reads_its_own_statistic():
    both = history(RISE_AND_FALL) | {"trace_mean": [1.0, *[5.0] * 11]}
    assert TraceReturn("median").returned_at(both) == 900
    assert TraceReturn("mean").returned_at(both) is None


def test_the_reference_is_the_first_finite_value_from_the_reference_step_on():
    # 0.1 at step 0 is never seen again, 1.0 at step 100 is.
    later = history([0.1, *RISE_AND_FALL])
    assert TraceReturn(reference_step=0).returned_at(later) is None
    assert TraceReturn(reference_step=100).returned_at(later) == 1000
    assert TraceReturn(reference_step=50).returned_at(later) == 1000
    assert TraceReturn().returned_at(history([math.nan, *RISE_AND_FALL])) == 1000


def test_a_return_that_was_missed_does_not_fire_later():
    """As after a resume with a callback that the first run did not have."""
    late = Moment(step=1100, epoch=0, history=history(RISE_AND_FALL))
    assert not TraceReturn().fires(late)
    on_time = {key: values[:10] for key, values in history(RISE_AND_FALL).items()}
    assert TraceReturn().fires(Moment(step=900, epoch=0, history=on_time))


def test_trace_return_waits_for_a_measurement():
    on_time = {key: values[:10] for key, values in history(RISE_AND_FALL).items()}
    assert not TraceReturn().fires(Moment(step=901, epoch=0, history=on_time))
    assert not TraceReturn().fires(Moment(step=0, epoch=0, history={"step": []}))
    assert not TraceReturn().fires(Moment(step=900, epoch=0, history=None))


def test_when_stands_for_triggers():
    mine = TraceReturn("mean", 100)
    kinds = [type(t) for t in triggers([3, "epoch", "checkpoint", "trace_return", "fit_end", mine])]
    assert kinds == [AtSteps, AtEpochEnd, AtCheckpoint, TraceReturn, AtFitEnd, TraceReturn]
    assert triggers(mine) == (mine,)
    assert triggers("trace_return")[0].statistic == "median"


@pytest.mark.parametrize("when", ["epochs", -1, True, 2.5, None, [], [[1]], ["epoch", "never"]])
def test_a_wrong_when_is_refused(when):
    with pytest.raises(LeafError, match="expect"):
        triggers(when)


@pytest.mark.parametrize("arguments", [{"statistic": "mode"}, {"reference_step": -1}])
def test_a_wrong_trace_return_is_refused(arguments):
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
def test_triggers_fire_at_their_moment_and_no_other(trigger, field):
    fields = {"epoch_ended", "checkpoint_saved", "fit_ended"}
    assert trigger.fires(Moment(5, 1, **{field: True}))
    assert not trigger.fires(Moment(5, 1, **dict.fromkeys(fields - {field}, True)))


def test_steps_fire_exactly():
    trigger = AtSteps(0, 7)
    assert [step for step in range(20) if trigger.fires(Moment(step, 0))] == [0, 7]
