"""Which snapshots and values are current after training resumed into the same run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag

StartOf = Callable[[Sequence[SnapshotTag]], float | None]
"""The step at which a session started, from its snapshots.

It is infinite if no snapshot can be read, and ``None`` if too many were read before.
"""


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


class CurrentSnapshots(NamedTuple):
    """The snapshots of one run, without those that a newer session supersedes.

    Attributes:
        by_name: The snapshots by name, sorted by step.
        superseded: Number of superseded snapshots.
        omitted: Number of snapshots that were not compared: those of further names, and of sessions
            older than one whose start is ``None``.
    """

    by_name: dict[str, list[SnapshotTag]]
    superseded: int
    omitted: int


def current_snapshots(
    tags: Iterable[SnapshotTag], start_of: StartOf, max_names: int
) -> CurrentSnapshots:
    """Return the snapshots of one run that no newer session supersedes.

    A session that started at step s supersedes the snapshots of older sessions of the same name
    at steps ≥ s, because resuming from s discarded that part of training. Sessions are ordered by
    their identifiers, which increase in a run whatever its clocks say.

    Args:
        tags: The snapshots of the run.
        start_of: The start of a session. It is called only for sessions with an older one.
        max_names: Maximum number of names.
    """
    by_name: dict[str, list[SnapshotTag]] = defaultdict(list)
    for tag in tags:
        by_name[tag.name].append(tag)
    names = sorted(by_name)
    omitted = sum(len(by_name[name]) for name in names[max_names:])
    current, superseded = {}, 0
    for name in names[:max_names]:
        current[name], uncompared = _current(by_name[name], start_of)
        omitted += uncompared
        superseded += len(by_name[name]) - len(current[name]) - uncompared
    return CurrentSnapshots(current, superseded, omitted)


def _current(tags: Sequence[SnapshotTag], start_of: StartOf) -> tuple[list[SnapshotTag], int]:
    """Return the current snapshots of one name, and the number of those not compared."""
    sessions: dict[str, list[SnapshotTag]] = defaultdict(list)
    for tag in tags:
        sessions[tag.session].append(tag)
    kept: list[SnapshotTag] = []
    compared = 0
    # The first step that a newer session repeats.
    superseded_from: float = math.inf
    oldest = min(sessions)
    for session in sorted(sessions, reverse=True):
        kept += [tag for tag in sessions[session] if tag.step < superseded_from]
        compared += len(sessions[session])
        if superseded_from > 0 and session != oldest:
            start = start_of(sessions[session])
            if start is None:
                break
            superseded_from = min(superseded_from, start)
    # The texts of tags of one name are in the order of step and session.
    return sorted(kept, key=itemgetter(0)), len(tags) - compared


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
