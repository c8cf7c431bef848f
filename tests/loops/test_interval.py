"""In a loop, the default interval is chosen by the time between calls and of a measurement."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_leaf import LeafMonitor
from lightning_leaf.loops import hugging_face
from lightning_leaf.loops import monitor as monitor_module
from lightning_leaf.loops.hugging_face import LeafTrainerCallback
from tests.support.clock import FakeClock

STEP, MEASUREMENT = 0.01, 0.0094
BY_TIME = 59  # 0.94 / 0.016 = 58.75


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock on which a measurement takes 9.4 ms, and the first one 1 s."""
    clock, measure, calls = FakeClock.installed(monkeypatch), monitor_module.measure, []

    def slow(*arguments: Any, **options: Any) -> Any:
        clock.advance(MEASUREMENT if calls else 1.0)
        calls.append(1)
        return measure(*arguments, **options)

    monkeypatch.setattr(monitor_module, "measure", slow)
    return clock


def train(
    monitor: LeafMonitor, clock: FakeClock, steps: range, seconds: float = STEP
) -> LeafMonitor:
    model = nn.Linear(4, 3)
    for step in steps:
        monitor.measure_if_due(model, step, examples_per_step=8)
        clock.advance(seconds if step > 3 else 1.0)
    return monitor


def monitor(**options: Any) -> LeafMonitor:
    return LeafMonitor(torch.rand(5, 4), on_error="raise", **options)


def test_the_interval_is_chosen_by_time_and_logged_once(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lightning_leaf")
    timed = train(monitor(), clock, range(120))
    assert timed.interval == BY_TIME
    assert timed.history["step"] == [0, 16, 59, 118]
    assert caplog.text.count("measures every") == 1
    assert (
        "LeafMonitor(name='leaf') measures every 59 steps, because a measurement takes as long "
        "as 0.94 training steps." in caplog.text
    )
    # Negative control: by the arithmetic, measuring would take more than 2 % of the time.
    estimated = train(monitor(), clock, range(3))
    assert estimated.interval == 40  # 15 / (24 · 0.016) = 39.1
    assert MEASUREMENT / (40 * STEP) > 0.02 > MEASUREMENT / (BY_TIME * STEP)


def test_a_resumed_loop_keeps_the_chosen_interval(clock: FakeClock) -> None:
    first, resumed, undecided = monitor(), monitor(), monitor()
    train(first, clock, range(20))
    resumed.load_state_dict(first.state_dict())
    train(resumed, clock, range(20, 60), seconds=1.0)
    assert (resumed.interval, resumed.history["step"]) == (BY_TIME, [0, 16, 59])
    # A training that was interrupted before chooses it after the resume.
    undecided.load_state_dict(train(monitor(), clock, range(10)).state_dict())
    train(undecided, clock, range(10, 28), seconds=1.0)
    assert (undecided.interval, undecided.history["step"]) == (1, [0, 10, 26, 27])


def test_a_restarted_loop_is_timed_again(clock: FakeClock) -> None:
    restarted = train(monitor(), clock, range(10))
    train(restarted, clock, range(40))
    assert restarted.interval == BY_TIME


@pytest.mark.parametrize("reason", ["deterministic", "every_n_steps"])
def test_the_interval_does_not_depend_on_time(clock: FakeClock, reason: str) -> None:
    try:
        torch.use_deterministic_algorithms(reason == "deterministic")
        fixed = monitor(every_n_steps=8 if reason == "every_n_steps" else None)
        train(fixed, clock, range(41))
    finally:
        torch.use_deterministic_algorithms(False)
    expected = 8 if reason == "every_n_steps" else 40
    assert (fixed.interval, fixed.history["step"]) == (expected, [*range(0, 41, expected)])


@pytest.mark.parametrize("hook", ["on_evaluate", "on_save"])
def test_the_callback_of_hugging_face_times_training_steps_only(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    def interval(reports: bool) -> int | None:
        callback, model = LeafTrainerCallback(torch.rand(5, 4)), nn.Linear(4, 3)
        callback.on_train_begin(args, state, None, model=model)
        for step in range(30):
            state.global_step = step
            callback.on_step_begin(args, state, None, model=model)
            clock.advance(STEP)
            if step % 7 == 6:
                clock.advance(10.0)  # evaluate or save
                if reports:
                    getattr(callback, hook)(args, state, None, model=model)
        callback.on_train_end(args, state, None, model=model)
        return callback.monitor.interval

    monkeypatch.setattr(hugging_face, "TrainerCallback", object)
    args = SimpleNamespace(
        output_dir=str(tmp_path), report_to=[], load_best_model_at_end=False,
        per_device_train_batch_size=4, gradient_accumulation_steps=2,
    )  # fmt: skip
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    assert interval(True) == BY_TIME
    assert interval(False) == 1  # negative control
