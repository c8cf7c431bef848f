"""Which snapshots and values are current after training resumed into the same run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tensorboard_plugin_leaf.schema.snapshot import SnapshotIndex


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot of a run.

    Attributes:
        tag: Its tag.
        wall_time: Time at which it was written, in seconds since 1970.
        index: Its index.
    """

    tag: str
    wall_time: float
    index: SnapshotIndex


class ScalarPoint(NamedTuple):
    """One value of a scalar.

    Attributes:
        step: Optimizer step.
        wall_time: Time at which it was written, in seconds since 1970.
        value: The value.
    """

    step: int
    wall_time: float
    value: float


def current_snapshots(snapshots: Iterable[StoredSnapshot]) -> list[StoredSnapshot]:
    """Return the snapshots of one run that no newer session supersedes, sorted by step and name.

    A session that started at step s supersedes the snapshots of older sessions of the same name
    at steps ≥ s, because resuming from s discarded that part of training.
    """
    snapshots = list(snapshots)

    def is_superseded(old: SnapshotIndex) -> bool:
        return any(
            new.index.name == old.name
            and new.index.session > old.session
            and new.index.session_start_step <= old.step
            for new in samples
        )

    # All snapshots of a session have the same start. Comparing with one sample of each session
    # avoids a time quadratic in the number of snapshots.
    samples = {(stored.index.name, stored.index.session): stored for stored in snapshots}.values()
    return sorted(
        (stored for stored in snapshots if not is_superseded(stored.index)),
        key=lambda stored: (stored.index.step, stored.index.name, stored.tag),
    )


def current_values(points: Iterable[ScalarPoint]) -> list[ScalarPoint]:
    """Return the points at increasing steps, without those that resuming discarded.

    A step that is not larger than the step before it means that training resumed there: all
    earlier points at this step or later are dropped.

    Args:
        points: The points in the order in which they were written.
    """
    kept: list[ScalarPoint] = []
    for point in points:
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept
