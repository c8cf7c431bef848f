"""Trainings of two processes that take different times. The functions run in both processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lightning_leaf import LocalDataMatrixMonitor
from lightning_leaf.monitoring.interval import affordable_interval
from tests.support.callbacks.training import digits
from tests.support.clock import Durations, FakeClock
from tests.support.distributed.trainings import train

SECONDS_PER_STEP = (0.01, 0.07)
"""One for each rank."""
MEASUREMENT = 0.01
"""Seconds of a measurement."""


def measured(root: Path) -> dict[str, Any]:
    """Return the interval, the measured steps, and the interval by the time of this process."""
    monitor = LocalDataMatrixMonitor(digits()[0][-8:], on_error="raise")
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = FakeClock.installed(monkeypatch)
        durations = Durations(clock, SECONDS_PER_STEP[int(os.environ["RANK"])])
        durations.measurements_take(MEASUREMENT, monkeypatch)
        train(root, monitor, durations, max_steps=20, limit_val_batches=0)
    cost = monitor._interval.timer.cost()
    return {
        "interval": monitor.interval,
        "steps": monitor.history["step"],
        "alone": None if cost is None else affordable_interval(cost),
    }
