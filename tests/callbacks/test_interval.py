"""The default interval is chosen by the time of training steps and of a measurement."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor
from lightning_leaf.monitoring import interval_timer
from lightning_leaf.monitoring.interval import (
    SHARE_OF_TRAINING,
    affordable_interval,
    estimated_interval,
    interval_message,
)
from lightning_leaf.monitoring.interval_timer import IntervalTimer
from lightning_leaf.trainer.state import steps_planned
from tests.support.callbacks.training import digits, fit, ignore_lightning, train_data
from tests.support.clock import Durations, FakeClock
from tests.support.undisturbed.contract import Training, differences, outcome

pytestmark = ignore_lightning

ESTIMATE = 27  # 8 inputs, 10 classes, 64 examples per step: 80 / (192 · 0.016) = 26.04
STEP, MEASUREMENT = 0.01, 0.0094
BY_TIME = 59  # 0.94 / 0.016 = 58.75


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock.installed(monkeypatch)


@pytest.fixture
def durations(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Durations:
    """A training with steps of 10 ms, in which a measurement takes 9.4 ms."""
    made = Durations(clock, STEP)
    made.measurements_take(MEASUREMENT, monkeypatch)
    return made


def monitor(**options: Any) -> LocalDataMatrixMonitor:
    return LocalDataMatrixMonitor(digits()[0][-8:], on_error="raise", **options)


@pytest.mark.parametrize(
    ("inputs", "classes", "examples", "expected"),
    [
        (32, 10, 60, 120),  # 320 / (180 · 0.016) = 111.1
        (32, 100, 256, 270),  # 3200 / (768 · 0.016) = 260.4
        (32, 1000, 256, 420),  # estimates cost as much as 160 classes: 5120 / (768 · 0.016) = 416.7
        (32, 2, 256, 6),
        (1, 2, 4096, 1),
        (32, 10, None, 100),
    ],
)
def test_the_estimated_interval_bounds_the_share_of_the_arithmetic(
    inputs: int, classes: int, examples: int | None, expected: int
) -> None:
    interval = estimated_interval(inputs, classes, examples)
    assert interval == expected
    if examples is not None:
        passes = min(classes, 160)
        assert inputs * passes / (3 * examples * interval) <= SHARE_OF_TRAINING


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(0.0, 1), (0.016, 1), (0.02, 2), (1.0, 63), (4.7, 300), (0.9, 57), (1e4, 630_000)],
)
def test_the_interval_is_rounded_up_to_two_digits(cost: float, expected: int) -> None:
    interval = affordable_interval(cost)
    assert interval == expected
    assert cost / interval <= SHARE_OF_TRAINING
    assert len(str(interval).rstrip("0")) <= 2


def test_the_message_tells_what_more_measurements_cost_if_there_are_few() -> None:
    assert interval_message(230, 3.62) == (
        "measures every 230 steps, because a measurement takes as long as 3.6 training steps."
    )
    assert interval_message(230, 3.62, 4600) == interval_message(230, 3.62)
    assert interval_message(230, 3.62, 1000).endswith(
        "This training of 1000 steps has few measurements. every_n_steps=50 gives 20, which take "
        "7.2 % of the time of its steps."
    )
    assert interval_message(1, 0.01).startswith("measures every step, because")


@pytest.mark.parametrize(
    ("estimated", "expected"), [(100, 100), (math.inf, None), (-1, None), (0, None)]
)
def test_the_length_of_a_training_may_be_unknown(estimated: float, expected: int | None) -> None:
    trainer: Any = SimpleNamespace(
        estimated_stepping_batches=estimated,
        lightning_module=SimpleNamespace(automatic_optimization=True),
    )
    assert steps_planned(trainer) == expected


def timed(
    clock: FakeClock,
    step_seconds: Any,
    measurement: float = 0.0,
    *,
    interval: int = 1000,
    interrupted: Any = (),
    timer: IntervalTimer | None = None,
    every: int = 1,
    module: Any = None,
) -> tuple[int | None, float | None]:
    """Run a loop until the interval is chosen; return the step and the ratio."""
    timer = timer or IntervalTimer()
    for step in range(0, 200 * every, every):
        timer.step_begins(step, module)
        if timer.needs_measurement or step % interval == 0:
            with timer.measuring(step, module):
                clock.advance(measurement if step else 1000 * measurement)
            if timer.is_ready:
                timer.is_over = True
                return step, timer.cost()
        for each in range(step, step + every):
            clock.advance(step_seconds(each))
        if step in interrupted:
            clock.advance(1000)
            timer.interrupt()
    assert timer.is_over
    return None, None


SPEEDS = [(0.01, 0.047), (1e-6, 1e-3), (100.0, 3.0), (0.5, 1e-9)]


@pytest.mark.parametrize(("step", "measurement"), SPEEDS)
def test_steps_and_one_measurement_are_timed_after_warm_ups(
    clock: FakeClock, step: float, measurement: float
) -> None:
    def warming_up(index: int) -> float:
        return 100 * step if index < 4 else step

    chosen_at, cost = timed(clock, warming_up, measurement)
    assert chosen_at == 16
    assert cost == pytest.approx(measurement / step)


def test_warm_ups_would_change_the_interval(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(interval_timer, "WARM_UP_STEPS", 0)
    _, cost = timed(clock, lambda index: 1.0 if index < 10 else 0.01, 0.01)
    assert cost == pytest.approx(0.01)


def test_one_slow_window_does_not_matter_and_two_do(clock: FakeClock) -> None:
    assert timed(clock, lambda i: 1.0 if i == 9 else 0.01, 0.02)[1] == pytest.approx(2)
    _, cost = timed(clock, lambda i: 1.0 if i in (9, 13) else 0.01, 0.02)  # negative control
    assert cost is not None
    assert cost < 0.1


@pytest.mark.parametrize("interval", [1, 2, 3, 5, 6, 7])
def test_measurements_by_a_short_estimated_interval_are_timed_too(
    clock: FakeClock, interval: int
) -> None:
    chosen_at, cost = timed(clock, lambda _: 0.01, 0.05, interval=interval)
    assert chosen_at in (16, 18, 19)  # a measurement ends a window
    assert cost == pytest.approx(5)


def test_interrupted_steps_do_not_count(clock: FakeClock) -> None:
    chosen_at, cost = timed(clock, lambda _: 0.01, 0.03, interrupted={2, 7, 13})
    assert chosen_at == 22  # after the windows 8 to 12, 14 to 18 and 18 to 22
    assert cost == pytest.approx(3)


def test_timing_is_given_up_if_all_steps_are_interrupted(clock: FakeClock) -> None:
    assert timed(clock, lambda _: 0.01, 0.03, interrupted=range(300)) == (None, None)


def test_a_frozen_clock_chooses_nothing(clock: FakeClock) -> None:
    assert timed(clock, lambda _: 0.0, 0.0) == (16, None)


def test_calls_at_every_tenth_step_time_steps_and_not_calls(clock: FakeClock) -> None:
    chosen_at, cost = timed(clock, lambda _: 0.01, 0.05, every=10, interval=10**9)
    assert chosen_at == 40
    assert cost == pytest.approx(5)


def test_the_timer_waits_for_accelerators_at_the_ends_of_what_it_times(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[torch.device] = []
    accelerator = SimpleNamespace(synchronize=waits.append)
    monkeypatch.setattr(interval_timer, "device_module", lambda device: accelerator)
    timer, module = IntervalTimer(), nn.Linear(2, 2)
    timed(clock, lambda _: 0.01, 0.05, timer=timer, module=module)
    # Four ends of three windows, and both ends of two measurements.
    assert waits == [torch.device("cpu")] * 8
    timer.step_begins(20, module)
    with timer.measuring(20, module):
        pass
    assert len(waits) == 8  # not any more
    interval_timer.wait_for_devices(lambda x: x)  # a function has no device
    assert len(waits) == 8


@pytest.mark.parametrize(
    ("kind", "arguments"), [("cuda", 1), ("xpu", 1), ("mps", 0), ("cpu", None)]
)
def test_each_accelerator_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, kind: str, arguments: int | None
) -> None:
    waits: list[int] = []

    class OnDevice(nn.Module):
        def parameters(self, recurse: bool = True) -> Any:
            return [SimpleNamespace(device=torch.device(kind))] * 3

    if kind != "cpu":
        fake = SimpleNamespace(synchronize=lambda *given: waits.append(len(given)))
        monkeypatch.setattr(torch, kind, fake)
    interval_timer.wait_for_devices(OnDevice())
    assert waits == ([] if arguments is None else [arguments])


def test_the_interval_is_chosen_by_time_and_logged_once(
    tmp_path: Path, durations: Durations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lightning_leaf")
    leaf = monitor()
    fit(tmp_path, leaf, durations, validation=None, max_steps=130)
    assert leaf.interval == BY_TIME
    assert leaf.history["step"] == [0, 16, 59, 118, 130]
    assert caplog.text.count("measures every") == 1
    assert "measures every 59 steps, because a measurement takes as long as 0.94" in caplog.text
    assert "training of 130 steps has few measurements. every_n_steps=6 gives 21" in caplog.text


def test_measuring_stays_below_two_percent_where_the_arithmetic_would_not(
    durations: Durations,
) -> None:
    """On a GPU the launches of a measurement take longer than its arithmetic."""
    assert MEASUREMENT / (BY_TIME * STEP) < 0.02
    assert MEASUREMENT / (ESTIMATE * STEP) > 0.03  # negative control


def test_loading_of_data_counts_as_time_of_the_training(
    tmp_path: Path, durations: Durations
) -> None:
    class SlowData(Dataset[Any]):
        def __len__(self) -> int:
            return 2000

        def __getitem__(self, index: int) -> Any:
            durations.clock.advance(0.0005)
            return train_data(64)[index % 64]

    leaf = monitor()
    fit(tmp_path, leaf, durations, train=DataLoader(SlowData(), 20), validation=None, max_steps=17)
    assert leaf.interval == 30  # 9.4 ms / (10 ms + 20 · 0.5 ms) / 0.016 = 29.4


def test_validation_and_checkpoints_do_not_count(tmp_path: Path, durations: Durations) -> None:
    durations.validation, durations.save = 3.0, 5.0
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=13)
    leaf = monitor()
    fit(tmp_path, durations, leaf, saver, enable_checkpointing=True, max_steps=40)
    assert leaf.interval == BY_TIME


@pytest.mark.parametrize("between", ["validation", "save"])
def test_time_between_steps_would_count_if_the_trainer_did_not_report_it(
    tmp_path: Path, durations: Durations, between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(IntervalTimer, "interrupt", lambda _: None)
    setattr(durations, between, 3.0)
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=7)
    leaf = monitor()
    fit(tmp_path, durations, leaf, saver, enable_checkpointing=True, max_steps=17)
    assert leaf.interval is not None
    assert leaf.interval < BY_TIME


def test_snapshots_do_not_count(
    tmp_path: Path, durations: Durations, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = HorizontalPathSnapshot._publish

    def slow(self: Any, *arguments: Any) -> None:
        durations.clock.advance(30.0)
        publish(self, *arguments)

    monkeypatch.setattr(HorizontalPathSnapshot, "_publish", slow)
    for i, order in enumerate((1, -1)):
        leaf = monitor()
        snapshot = HorizontalPathSnapshot(
            when=[0, 6, 10], pairs=1, max_steps=1, noise_steps=0, on_error="raise"
        )
        fit(tmp_path / str(i), *[leaf, snapshot][::order], durations, validation=None, max_steps=30)
        assert leaf.interval == BY_TIME
        assert snapshot.last_snapshot is not None


def test_a_step_of_several_batches_is_timed_as_one(tmp_path: Path, durations: Durations) -> None:
    leaf = monitor()
    fit(tmp_path, leaf, durations, validation=None, accumulate_grad_batches=2, max_steps=19)
    assert leaf.interval == 30  # 9.4 ms / (2 · 10 ms) / 0.016 = 29.4


def test_trainings_that_validate_at_each_step_keep_the_estimate(
    tmp_path: Path, durations: Durations, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = monitor()
    fit(tmp_path, leaf, durations, val_check_interval=1, limit_val_batches=1, max_steps=110)
    assert leaf.interval == ESTIMATE
    assert "measures every" not in caplog.text
    assert leaf.state_dict()["interval_is_chosen"]


@pytest.mark.parametrize("reason", ["deterministic", "every_n_steps", "short"])
def test_the_interval_does_not_depend_on_time(
    tmp_path: Path, durations: Durations, reason: str
) -> None:
    leaf = monitor(every_n_steps=8 if reason == "every_n_steps" else None)
    try:
        fit(
            tmp_path,
            leaf,
            durations,
            validation=None,
            max_steps=12 if reason == "short" else 20,
            deterministic="warn" if reason == "deterministic" else None,
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert leaf.interval == (8 if reason == "every_n_steps" else ESTIMATE)
    assert 16 not in leaf.history["step"] or reason == "every_n_steps"


def test_a_resumed_training_keeps_the_chosen_interval(tmp_path: Path, durations: Durations) -> None:
    def saver() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=10, save_top_k=-1)

    first, resumed, undecided = monitor(), monitor(), monitor()
    options: dict[str, Any] = {"enable_checkpointing": True, "validation": None}
    fit(tmp_path / "first", first, durations, saver(), max_steps=40, **options)
    assert first.interval == BY_TIME
    durations.batch = 1.0
    saved = tmp_path / "step=40.ckpt"
    fit(tmp_path / "second", resumed, durations, saver(), ckpt_path=saved, max_steps=70, **options)
    assert resumed.interval == BY_TIME
    assert resumed.history["step"][-2:] == [59, 70]
    # A training that was interrupted before chooses it after the resume.
    saved = tmp_path / "step=10.ckpt"
    fit(tmp_path / "third", undecided, durations, saver(), ckpt_path=saved, max_steps=40, **options)
    assert undecided.interval == 1  # 9.4 ms / 1 s / 0.016 = 0.6
    assert undecided.history["step"] == [0, 10, 27, *range(34, 41)]  # 27 by the estimate


def test_the_training_is_bitwise_identical_while_it_is_timed(tmp_path: Path) -> None:
    training = Training(others=lambda _: [])
    # A checkpoint after each epoch of four batches would interrupt each window.
    options: dict[str, Any] = {
        "max_epochs": 5, "limit_val_batches": 0, "enable_checkpointing": False,
    }  # fmt: skip
    leaf = LocalDataMatrixMonitor(probe=4, on_error="raise")
    without = outcome(training, tmp_path / "without", **options)
    watched = outcome(training, tmp_path / "with", [leaf], **options)
    assert differences(without, watched) == []
    assert leaf.state_dict()["interval_is_chosen"]


def test_another_training_chooses_its_own_interval(tmp_path: Path, durations: Durations) -> None:
    leaf = monitor()
    fit(tmp_path, leaf, durations, validation=None, max_steps=17)
    assert leaf.interval == BY_TIME
    durations.batch = 1.0
    fit(tmp_path, leaf, durations, validation=None, max_steps=17)
    assert leaf.interval == 1
    assert leaf.history["step"] == [0, 16, 17]
