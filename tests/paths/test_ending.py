"""A time limit or a request ends paths early, and keeps the steps taken so far."""

import time

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, PathStatus, horizontal_path, orthogonal_walk
from lightning_leaf.model.interruption import ended_when
from tests.support.cases import CASES

LINEAR = next(case for case in CASES if case.name == "linear")
OUT_OF_TIME = PathStatus.OUT_OF_TIME


class Slow(nn.Module):
    """A classifier whose forward pass takes some time."""

    def __init__(self, model: nn.Module, seconds: float) -> None:
        super().__init__()
        self.model = model
        self.seconds = seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return self.model(x)


def after(calls: int):
    """Return a condition that is true from the given call on."""
    remaining = iter([False] * calls)
    return lambda: next(remaining, True)


def test_a_path_that_was_ended_is_the_beginning_of_the_whole_path():
    model, x = LINEAR.make(0, batch=3)
    y = torch.randn_like(x)
    options = {"step_size": 0.01, "threshold": 1e-3, "max_steps": 40}
    whole = horizontal_path(model, x, y, **options)
    with ended_when(after(21)):  # not a multiple of the steps between two reads of the status
        ended = horizontal_path(model, x, y, **options)
    assert whole.status == (PathStatus.OUT_OF_STEPS,) * 3  # Negative control.
    assert ended.status == (OUT_OF_TIME,) * 3
    assert ended.steps.tolist() == [21] * 3
    for one, other in zip(whole, ended, strict=True):
        assert torch.equal(one.points[:22], other.points)
        assert torch.equal(one.log_probs[:22], other.log_probs)
        assert torch.equal(one.distance[:22], other.distance)
        assert torch.equal(one.horizontality[:21], other.horizontality)
        assert torch.equal(one.fisher_rao_length[:22], other.fisher_rao_length)
    left = f"{float(ended[0].distance[-1]):.2f} of {float(ended[0].distance[0]):.2f} left"
    assert ended[0].describe() == f"out of time after 21 steps, {left}"


def test_paths_that_ended_for_another_reason_keep_it_and_waiting_paths_have_no_steps():
    model, x = LINEAR.make(0, batch=4)
    y = torch.randn_like(x)
    y[0] = x[0]  # reached at once
    with ended_when(after(10)):
        path = horizontal_path(model, x, y, chunk_size=2)
    assert path.status == (PathStatus.REACHED, *[OUT_OF_TIME] * 3)
    assert path[0].steps == path[3].steps == 0
    assert path[1].steps > path[2].steps
    assert torch.equal(path.start, x)


def test_outer_conditions_still_hold_inside_other_contexts():
    model, x = LINEAR.make(0, batch=1)
    with ended_when(after(5)), ended_when(lambda: False):
        walk = orthogonal_walk(model, x, max_steps=20, max_time=1000)
    assert (walk[0].status, walk[0].steps) == (OUT_OF_TIME, 5)
    assert walk[0].describe().startswith("out of time after 5 steps, ")
    assert orthogonal_walk(model, x, max_steps=20)[0].steps == 20  # Negative control.


@pytest.mark.parametrize("kind", ["horizontal", "orthogonal"])
def test_max_time_limits_the_time_of_slow_models(kind):
    model, x = LINEAR.make(0, batch=2)
    slow = Slow(model, 0.02)
    began = time.monotonic()
    if kind == "horizontal":
        path = horizontal_path(slow, x, x + 1, step_size=1e-3, max_time=0.2)
    else:
        path = orthogonal_walk(slow, x, max_time=0.2)
    assert time.monotonic() - began < 2  # 5000 or 1000 steps take more than 20 seconds
    assert path.status == (OUT_OF_TIME,) * 2
    assert 1 <= path[0].steps <= 10


@pytest.mark.parametrize("value", [0, -1, "1", True])
def test_max_time_expects_a_positive_number(value):
    with pytest.raises(LeafError, match="max_time expects a positive number"):
        orthogonal_walk(nn.Linear(4, 3), torch.ones(1, 4), max_time=value)
