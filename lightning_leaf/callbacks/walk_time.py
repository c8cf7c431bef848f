"""The steps and the time that the paths of a snapshot may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SHARE_OF_FIT = 0.1
"""Default time limit of a snapshot, relative to the time that the fit has taken so far."""
SHORTEST_LIMIT = 30.0
"""Smallest default time limit of a snapshot, in seconds."""
ANNOUNCED_FROM = 10.0
"""Estimated seconds from which a snapshot is announced."""
TIMED_STEPS = 4
"""Path steps from which the time of all steps is estimated; fewer if they take two seconds."""


@dataclass(frozen=True)
class StepsAllowed:
    """Whether paths may take as many steps as the arguments say, or fewer.

    Attributes:
        at_most: Largest number of path steps; None for no limit.
        progress: Whether to show a progress bar.
    """

    at_most: int | None = None
    progress: bool = False

    def of(self, steps: int) -> int:
        """Return the number of steps that are allowed of some."""
        return steps if self.at_most is None else min(steps, self.at_most)


def time_limit(max_time: float | None, elapsed: float) -> float:
    """Return the time limit of a snapshot, in seconds.

    Args:
        max_time: The limit that the user has set; None for the default.
        elapsed: Time that the fit has taken so far, in seconds.
    """
    return max(SHORTEST_LIMIT, SHARE_OF_FIT * elapsed) if max_time is None else max_time


class WalkTime:
    """Ends paths at their time limit, announces long ones, and reports their progress.

    It is called before every path step. The first step is not timed: it is slower than the others.

    Args:
        limit: Time limit of all paths, in seconds.
        steps: Largest number of path steps, over all batches of paths.
        announce: Called with the estimated time of all path steps, in seconds, if this is long.
        report: Called with the number of path steps taken, after 10, 20, 40, … seconds.
    """

    def __init__(
        self,
        limit: float,
        steps: int,
        announce: Callable[[float], None],
        report: Callable[[int], None],
    ) -> None:
        self._limit = limit
        self._steps = steps
        self._announce, self._report = announce, report
        self._started = self._timed_from = time.monotonic()
        self._calls = 0
        self._is_estimated = False
        self._next_report = ANNOUNCED_FROM

    def is_over(self) -> bool:
        """Return whether the paths must end now."""
        now = time.monotonic()
        self._calls += 1
        if self._calls <= 2:
            self._timed_from = now
        elif not self._is_estimated:
            self._estimate(now - self._timed_from, self._calls - 2)
        elapsed = now - self._started
        if elapsed >= self._next_report:
            self._next_report *= 2
            self._report(self._calls - 1)
        return elapsed >= self._limit

    def _estimate(self, seconds: float, steps: int) -> None:
        self._is_estimated = steps == TIMED_STEPS or seconds >= 2
        if self._is_estimated and (estimate := seconds / steps * self._steps) >= ANNOUNCED_FROM:
            self._announce(estimate)
