"""Where training was resumed into the same run: which account of a step is the newest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tensorboard_plugin_leaf.snapshot import SnapshotIndex


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot in a run, with the wall time at which it was written."""

    tag: str
    wall_time: float
    index: SnapshotIndex


class Point(NamedTuple):
    """One value of a scalar."""

    step: int
    wall_time: float
    value: float


def newest_snapshots(snapshots: Iterable[StoredSnapshot]) -> list[StoredSnapshot]:
    """The snapshots of one run that no newer session has superseded, by step and name.

    A session that starts at step s, of a callback's name, supersedes what older sessions of the
    same name said of steps s and later: that training was undone by resuming from s.
    """
    snapshots = list(snapshots)

    def superseded(old: SnapshotIndex) -> bool:
        return any(
            new.index.name == old.name
            and new.index.session > old.session
            and new.index.session_start_step <= old.step
            for new in newest_of_session
        )

    # One snapshot speaks for its session, or this would be quadratic in their number.
    newest_of_session = {
        (stored.index.name, stored.index.session): stored for stored in snapshots
    }.values()
    return sorted(
        (stored for stored in snapshots if not superseded(stored.index)),
        key=lambda stored: (stored.index.step, stored.index.name, stored.tag),
    )


def newest_values(points: Iterable[Point]) -> list[Point]:
    """The points, in the order in which they were written, without those that were undone.

    Where a step goes back, training was resumed: earlier points from that step on are dropped.
    """
    kept: list[Point] = []
    for point in points:
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept
