"""A clock that a test advances, in place of the one by which the interval is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from lightning_leaf.callbacks import monitor
from lightning_leaf.monitoring import interval_timer


@dataclass
class FakeClock:
    """A clock that a test advances."""

    now: float = 0.0

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
        """Return a clock that the timer of the interval reads."""
        clock = cls()
        fake = SimpleNamespace(perf_counter=lambda: clock.now)
        monkeypatch.setattr(interval_timer, "time", fake)
        return clock

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Durations(Callback):
    """A callback that advances a clock by the durations of the parts of a training, in seconds.

    The first measurement and the first steps take longer, as in trainings on a GPU.
    """

    clock: FakeClock
    batch: float = 0.01
    validation: float = 0.0
    save: float = 0.0
    batches: int = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.clock.advance(self.batch * (50 if self.batches < 3 else 1))
        self.batches += 1

    def on_validation_end(self, *_: Any) -> None:
        self.clock.advance(self.validation)

    def on_save_checkpoint(self, *_: Any) -> None:
        self.clock.advance(self.save)

    def measurements_take(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Advance the clock during each measurement of a Lightning monitor."""
        measure_share, calls = monitor.measure_share, []

        def slow(*arguments: Any, **options: Any) -> Any:
            self.clock.advance(seconds if calls else 100 * seconds)
            calls.append(seconds)
            return measure_share(*arguments, **options)

        monkeypatch.setattr(monitor, "measure_share", slow)
