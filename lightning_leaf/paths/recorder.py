"""Record a batch of paths on the host, block by block, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_leaf.paths.block import Curves
from lightning_leaf.paths.ends import End
from lightning_leaf.paths.settings import PathSettings
from lightning_leaf.paths.single_path import PathStatus, SinglePath

STALLED, BLOCKED = PathStatus.STALLED, PathStatus.BLOCKED


@dataclass
class KeptSteps:
    """Which steps are kept of the paths that began together, and where.

    Every 2ᵏ-th point is kept. When there are too many, every second point is dropped and k
    increases by one.

    Attributes:
        most: Largest number of points kept, at least one of which is the last point.
        recorded: Number of points recorded.
        stride: 2ᵏ.
        places: The kept steps and their places in a path's memory, in ascending order.
    """

    most: int
    recorded: int = 0
    stride: int = 1
    places: list[tuple[int, int]] = field(default_factory=list)
    _vacant: list[int] = field(default_factory=list)

    def extend(self, count: int) -> list[tuple[int, int]]:
        """Record further points, and return the kept ones of them with their places.

        Args:
            count: Number of points.
        """
        first = self.recorded
        for step in range(first, first + count):
            if step % self.stride == 0 and len(self.places) >= self.most - 1:
                self.stride *= 2
                self._vacant += [place for _, place in self.places[1::2]]
                self.places = self.places[::2]
            if step % self.stride == 0:
                place = self._vacant.pop() if self._vacant else len(self.places)
                self.places.append((step, place))
        self.recorded += count
        return [(step, place) for step, place in self.places if step >= first]


@dataclass
class _Recording:
    """What is recorded of one path: its row among all paths, and the curves of every block."""

    row: int
    kept: KeptSteps
    memory: int
    curves: list[tuple[Tensor, ...]] = field(default_factory=list)


class Recorder:
    """Curves at every step and evenly spaced points of the paths in a batch.

    Args:
        settings: Settings of all paths.
        start: Starting points of all paths, whose shape and type the points have.
        slots: Largest number of paths in the batch.
    """

    def __init__(self, settings: PathSettings, start: Tensor, slots: int) -> None:
        self._settings = settings
        places = min(settings.keep_points, settings.max_steps + 1)
        # The system provides the memory when points are written.
        self._points = torch.empty(slots, places, *start.shape[1:], dtype=start.dtype)
        self._vacant = list(range(slots))
        self._recordings: list[_Recording] = []

    @property
    def rows(self) -> list[int]:
        """Row of each path among all N paths."""
        return [recording.row for recording in self._recordings]

    @property
    def recorded(self) -> list[int]:
        """Number of points recorded of each path."""
        return [recording.kept.recorded for recording in self._recordings]

    def add_paths(self, rows: list[int]) -> None:
        """Add paths that begin together."""
        kept = KeptSteps(self._settings.keep_points)
        self._recordings += [_Recording(row, kept, self._vacant.pop()) for row in rows]

    def add_block(
        self, curves: Curves, points: list[Tensor], ends: list[tuple[int, int]]
    ) -> Tensor:
        """Record the next points of every path.

        Args:
            curves: Their curves.
            points: Points of all paths at each of the steps, ``(n, ...)`` each.
            ends: Paths that end, and the step of the block at which they do.

        Returns:
            The last points of these paths, ``(len(ends), ...)``, on the host.
        """
        groups: dict[int, list[int]] = {}  # paths that began together keep the same steps
        for i, recording in enumerate(self._recordings):
            recording.curves.append(curves.of(i))
            groups.setdefault(id(recording.kept), []).append(i)
        fetched: list[Tensor] = []
        memory: list[int] = []
        places: list[int] = []
        for members in groups.values():
            kept = self._recordings[members[0]].kept
            first = kept.recorded
            for step, place in kept.extend(len(points)):
                block = points[step - first]
                fetched.append(block if len(members) == len(block) else block[members])
                memory += [self._recordings[i].memory for i in members]
                places += [place] * len(members)
        fetched += [points[step][i : i + 1] for i, step in ends]
        if not fetched:
            return self._points[:0, 0]
        on_host = torch.cat(fetched).cpu()
        self._points[memory, places] = on_host[: len(memory)]
        return on_host[len(memory) :]

    def select(self, rows: list[int]) -> None:
        """Keep only some of the paths."""
        kept = set(rows)
        self._vacant += [
            recording.memory for i, recording in enumerate(self._recordings) if i not in kept
        ]
        self._recordings = [self._recordings[i] for i in rows]

    def path(
        self,
        i: int,
        reason: End,
        steps: int,
        last: Tensor,  # (...)
        end: Tensor | None,  # (...)
    ) -> SinglePath:
        """Return the i-th path, which ended after ``steps`` steps at the point ``last``.

        A prediction path that makes no progress ends at the kept point that is closest to its
        target.
        """
        settings, recording = self._settings, self._recordings[i]
        log_probs, distance, horizontality, length, moved = (
            torch.cat(pieces) for pieces in zip(*recording.curves, strict=True)
        )
        kept = [(step, place) for step, place in recording.kept.places if step < steps]
        points = self._points[recording.memory, [place for _, place in kept]]
        point_steps = torch.tensor([step for step, _ in kept] + [steps])
        points = torch.cat([points, last.unsqueeze(0)])
        if settings.kind == "prediction" and reason.status in (STALLED, BLOCKED):
            # The last steps came no closer, and some lead away.
            closest = int(distance[point_steps].nan_to_num(nan=torch.inf).argmin()) + 1
            points, point_steps = points[:closest], point_steps[:closest]
            steps = int(point_steps[-1])
        threshold = settings.threshold
        return SinglePath(
            kind=settings.kind,
            points=points,
            point_steps=point_steps,
            log_probs=log_probs[: steps + 1],
            distance=distance[: steps + 1],
            horizontality=horizontality[:steps],
            fisher_rao_length=length[: steps + 1].cumsum(0),
            euclidean_length=torch.nn.functional.pad(moved[:steps].cumsum(0), (1, 0)),
            status=reason.status,
            end=None if end is None else end.cpu(),
            step_size=float(settings.step_size[recording.row]),
            threshold=None if threshold is None else float(threshold[recording.row]),
            normalization=settings.normalization,
            likelihood=settings.likelihood,
            target=None if settings.targets is None else settings.targets[recording.row],
            blocked_by=reason.blocked_by,
        )
