"""Time a few training steps and a measurement, to choose the interval between measurements."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import nn

from lightning_leaf.model.accelerators import device_module

WARM_UP_STEPS = 4
"""Steps after the first measurement that are not timed: libraries choose algorithms in them,
allocators and caches fill, modules are compiled."""
WINDOW_STEPS = 4
"""Steps that are timed together."""
WINDOWS = 3
"""Windows of which the median is taken, if each has its full length."""
PATIENCE = 100
"""Steps after which timing is given up, because too many of them were interrupted."""


class IntervalTimer:
    """Timer of training steps and measurements.

    A monitor calls :meth:`step_begins` at each optimizer step, and measures within
    :meth:`measuring`. The first measurement and the four steps after it are warm-ups. Then windows
    of four steps are timed, and the next measurement.

    The timer waits for the accelerators at both ends of a window and of a measurement, and not
    between, so that a window takes as long as its steps take in the training. Waiting does not
    change what is computed. The time between two steps, such as that of loading data, counts.
    Windows that :meth:`interrupt` has interrupted do not count.

    Args:
        is_over: Whether the interval is chosen already.

    Attributes:
        is_over: Whether the interval is chosen, or timing was given up. Nothing is timed any more.
    """

    def __init__(self, is_over: bool = False) -> None:
        self.is_over = is_over
        self._first_step: int | None = None  # at which this process measured
        self._latest_step: int | None = None
        self._steps = 0  # since the first measurement, interrupted or not
        self._window: tuple[int, float] | None = None  # step and time at which it began
        self._timed_steps = 0
        self._seconds_per_step: list[float] = []  # one for each window
        self._seconds_per_measurement: list[float] = []

    def require_reproducible(self) -> None:
        """Choose nothing by time if the training uses deterministic algorithms."""
        self.is_over = self.is_over or torch.are_deterministic_algorithms_enabled()

    @property
    def needs_measurement(self) -> bool:
        """Whether to measure at this step: for the warm-up, or because enough steps are timed."""
        return not self.is_over and (self._first_step is None or self._enough_steps)

    @property
    def is_ready(self) -> bool:
        """Whether both steps and measurements are timed."""
        return not self.is_over and self._enough_steps and bool(self._seconds_per_measurement)

    @property
    def _enough_steps(self) -> bool:
        enough = self._timed_steps >= WINDOWS * WINDOW_STEPS
        return enough and len(self._seconds_per_step) >= WINDOWS

    def step_begins(self, step: int, module: Any) -> None:
        """Note that a training step begins; further calls at the same step are ignored.

        Args:
            step: Number of optimizer steps taken.
            module: The module that is trained.
        """
        if self.is_over or self._first_step is None or step == self._latest_step:
            return
        if self._latest_step is not None and step < self._latest_step:
            self.interrupt()  # the loop was restarted
        self._latest_step = step
        self._steps += 1
        if self._steps > PATIENCE:
            self.is_over = True
        elif step - self._first_step >= WARM_UP_STEPS and (
            self._window is None or step - self._window[0] >= WINDOW_STEPS
        ):
            wait_for_devices(module)
            now = time.perf_counter()
            self._close_window(step, now)
            self._window = step, now

    def interrupt(self) -> None:
        """Note that something else than training steps takes time, such as a validation."""
        self._window = None

    @contextmanager
    def measuring(self, step: int, module: Any) -> Iterator[None]:
        """Time a measurement.

        Args:
            step: Number of optimizer steps taken.
            module: The module that is measured.
        """
        if self.is_over:
            yield
            return
        wait_for_devices(module)
        started = time.perf_counter()
        self._close_window(step, started)
        yield
        wait_for_devices(module)
        ended = time.perf_counter()
        self._latest_step = step
        if self._first_step is None:
            self._first_step = step
            return
        self._seconds_per_measurement.append(ended - started)
        if step - self._first_step >= WARM_UP_STEPS:
            self._window = step, ended

    def cost(self) -> float | None:
        """Return the time of a measurement relative to that of a training step.

        Returns:
            The ratio of medians; None if no time passed, because the clock is frozen.
        """
        step = median(self._seconds_per_step)
        return median(self._seconds_per_measurement) / step if step > 0 else None

    def _close_window(self, step: int, now: float) -> None:
        if self._window is not None and step > self._window[0]:
            steps = step - self._window[0]
            self._seconds_per_step.append((now - self._window[1]) / steps)
            self._timed_steps += steps
        self._window = None


def wait_for_devices(module: Any) -> None:
    """Wait until the accelerators that hold the parameters of a module have finished their work."""
    parameters = module.parameters() if isinstance(module, nn.Module) else ()
    for device in {parameter.device for parameter in parameters}:
        accelerator = device_module(device)
        if device.type == "mps":  # its function takes no device
            accelerator.synchronize()
        elif hasattr(accelerator, "synchronize"):
            accelerator.synchronize(device)
