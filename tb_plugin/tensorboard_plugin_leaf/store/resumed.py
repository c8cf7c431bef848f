"""Which snapshots and values are current after training resumed into the same run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag

StartOf = Callable[[Sequence[SnapshotTag]], int | None]
"""The step at which a session started, from its snapshots; ``None`` if none can be read."""


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


def current_snapshots(
    tags: Iterable[SnapshotTag], start_of: StartOf
) -> dict[str, list[SnapshotTag]]:
    """Return the snapshots of one run that no newer session supersedes, by name, sorted by step.

    A session that started at step s supersedes the snapshots of older sessions of the same name
    at steps ≥ s, because resuming from s discarded that part of training. Sessions are ordered by
    their identifiers, which increase in a run whatever its clocks say.

    Args:
        tags: The snapshots of the run.
        start_of: The start of a session. It is called only for sessions with an older one.
    """
    by_name: dict[str, dict[str, list[SnapshotTag]]] = defaultdict(lambda: defaultdict(list))
    for tag in tags:
        by_name[tag.name][tag.session].append(tag)
    return {name: _current(by_name[name], start_of) for name in sorted(by_name)}


def _current(sessions: dict[str, list[SnapshotTag]], start_of: StartOf) -> list[SnapshotTag]:
    kept: list[SnapshotTag] = []
    # The first step that a newer session repeats.
    superseded_from: float = math.inf
    oldest = min(sessions)
    for session in sorted(sessions, reverse=True):
        kept += [tag for tag in sessions[session] if tag.step < superseded_from]
        if superseded_from > 0 and session != oldest:
            start = start_of(sessions[session])
            superseded_from = superseded_from if start is None else min(superseded_from, start)
    return sorted(kept, key=lambda tag: (tag.step, tag.session))


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
