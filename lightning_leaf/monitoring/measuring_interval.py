"""When a monitor measures: at a given interval, or at one that is estimated and chosen by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_leaf.monitoring.interval import affordable_interval, interval_message
from lightning_leaf.monitoring.interval_timer import IntervalTimer


class MeasuringInterval:
    """The optimizer steps between two measurements of a monitor.

    Args:
        given: The interval that the user gave; None to choose one.

    Attributes:
        steps: The interval; None before the first measurement if none is given.
        timer: Times steps and measurements, as long as the interval is not decided.
    """

    def __init__(self, given: int | None) -> None:
        self._given = given
        self.restart()

    def restart(self) -> None:
        """Begin a new curve, whose interval is not chosen yet."""
        self.steps = self._given
        self.timer = IntervalTimer(is_over=self._given is not None)

    def is_due(self, step: int, measured: Sequence[float]) -> bool:
        """Return whether a measurement is due.

        Args:
            step: Number of optimizer steps taken.
            measured: The steps that have been measured, in ascending order.
        """
        if step in measured[-1:]:
            return False
        if not measured or self.steps is None or self.timer.needs_measurement:
            return True
        return step % self.steps == 0

    def choose(self, cost: float | None, steps_planned: int | None = None) -> str | None:
        """Choose the interval by the time of a measurement.

        Args:
            cost: The time of a measurement relative to that of a training step; None if it is
                unknown, so that the estimate stays.
            steps_planned: Optimizer steps of the whole training; None if unknown.

        Returns:
            A sentence for the log, whose subject is the monitor; None if the estimate stays.
        """
        self.timer.is_over = True
        if cost is None:
            return None
        self.steps = affordable_interval(cost)
        return interval_message(self.steps, cost, steps_planned)

    def state_dict(self) -> dict[str, Any]:
        """Return the interval and whether it is decided, for a checkpoint."""
        is_chosen = self.timer.is_over and self._given is None
        return {"interval": self.steps, "interval_is_chosen": is_chosen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the interval of a checkpoint, unless the user gave one.

        Args:
            state: State of a monitor, perhaps of another version. If it holds no interval of at
                least one step, a new one is chosen.
        """
        self.restart()
        interval, is_chosen = state.get("interval"), state.get("interval_is_chosen")
        if self._given is None and type(interval) is int and 1 <= interval < 2**63:
            self.steps = interval
            self.timer.is_over = is_chosen is True
