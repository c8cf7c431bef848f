"""What a snapshot reports about its paths: how long they will take, and how far they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lightning_leaf.callbacks.notices import Notices, inform


@dataclass(frozen=True)
class WalkMessages:
    """The messages of a snapshot callback while it computes paths.

    Attributes:
        callback: The callback, such as ``"OrthogonalWalkSnapshot(name='orthogonal_walk')"``.
        step: Number of optimizer steps taken.
        paths: Number of paths.
        longest: Largest number of path steps.
        rounds: Largest number of path steps, over all batches of paths.
        limit: Time limit of all paths, in seconds.
    """

    callback: str
    step: int
    paths: int
    longest: int
    rounds: int
    limit: float

    def announce(self, seconds: float, notices: Notices) -> None:
        """Log what the paths will cost, once for each callback and fit.

        Args:
            seconds: Estimated time of all path steps.
            notices: What was reported in this fit.
        """
        cost = announcement(self.paths, self.longest, seconds, self.limit)
        notices.inform_once(
            f"{self.callback} at step {self.step}: {cost} Ctrl-C ends them, and not the training.",
            about=f"cost of {self.callback}",
        )

    def report(self, taken: int, has_bar: bool) -> None:
        """Log the number of path steps taken, unless a progress bar shows it.

        Args:
            taken: The number of path steps taken.
            has_bar: Whether the paths have a progress bar. It is shown on terminals only.
        """
        if not (has_bar and sys.stderr.isatty()):
            inform(f"{self.callback}: {taken} of at most {self.rounds} path steps are taken.")


def announcement(paths: int, longest: int, seconds: float, limit: float) -> str:
    """Return what paths will cost, in a sentence or two.

    Args:
        paths: Number of paths.
        longest: Largest number of path steps.
        seconds: Estimated time of all path steps.
        limit: Time limit, in seconds.

    Example:
        >>> announcement(8, 5000, seconds=20.0, limit=30.0)
        '8 paths of at most 5000 steps will take up to about 20 seconds.'
    """
    text = f"{paths} paths of at most {longest} steps"
    if seconds <= limit:
        return f"{text} will take up to about {duration(seconds)}."
    rounded = f"{limit:.0f}" if limit >= 10 else f"{limit:.2g}"
    return (
        f"{text} would take up to about {duration(seconds)}. They end after {rounded} seconds, see "
        "max_time=, and what was computed until then is kept."
    )


def duration(seconds: float) -> str:
    """Return a duration in words, rounded to one or two digits.

    Example:
        >>> duration(12.3), duration(3000), duration(20000)
        ('12 seconds', '50 minutes', '5.6 hours')
    """
    if seconds < 120:
        value, unit = seconds, "seconds"
    elif seconds < 7200:
        value, unit = seconds / 60, "minutes"
    else:
        value, unit = seconds / 3600, "hours"
    digits = f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
    return f"{digits} {unit}"
