"""Record a batch of paths in bounded memory on the accelerator."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_leaf.paths.leaf_path import PathStatus, SinglePath
from lightning_leaf.paths.settings import PathSettings


@dataclass
class _Recording:
    """The recorded points and curves of one path."""

    row: int
    recorded: int = 0
    stride: int = 1
    points: list[tuple[int, Tensor]] = field(default_factory=list)
    curves: list[tuple[Tensor, ...]] = field(default_factory=list)


class Recorder:
    """Curves at every step and evenly spaced points of the paths in a batch.

    Args:
        keep_points: Largest number of points kept of each path. Every 2ᵏ-th point is kept. When
            there are too many, every second point is dropped and k increases by one.
    """

    def __init__(self, keep_points: int) -> None:
        self._keep_points = keep_points
        self._recordings: list[_Recording] = []
        self._unflushed: list[tuple[Tensor, ...]] = []

    @property
    def rows(self) -> list[int]:
        """Row of each path among all N paths."""
        return [recording.row for recording in self._recordings]

    @property
    def recorded(self) -> list[int]:
        """Number of points recorded of each path."""
        return [recording.recorded for recording in self._recordings]

    def add_paths(self, rows: list[int]) -> None:
        """Add new paths; call :meth:`flush` first."""
        self._recordings += map(_Recording, rows)

    def add_points(self, x: Tensor, *curves: Tensor) -> None:
        """Record the next point of every path.

        Args:
            x: Points, ``(n, ...)``.
            *curves: Values at the points, log-probabilities first, ``(n, ...)`` each.
        """
        kept = [i for i, recording in enumerate(self._recordings) if self._keeps(recording)]
        points = x if len(kept) == len(x) else x[kept]
        for i, point in zip(kept, points, strict=True):
            self._recordings[i].points.append((self._recordings[i].recorded, point))
        for recording in self._recordings:
            recording.recorded += 1
        log_probs, *others = curves
        self._unflushed.append((log_probs.float(), *others))

    def _keeps(self, recording: _Recording) -> bool:
        if recording.recorded % recording.stride:
            return False
        if len(recording.points) >= self._keep_points - 1:  # leaves room for the last point
            recording.stride *= 2
            recording.points = recording.points[::2]
        return recording.recorded % recording.stride == 0

    def flush(self) -> None:
        """Move the curves recorded since the last flush to the CPU."""
        block = [torch.stack(values, dim=1).cpu() for values in zip(*self._unflushed, strict=True)]
        for i, recording in enumerate(self._recordings):
            recording.curves.append(tuple(values[i] for values in block))
        self._unflushed = []

    def select(self, rows: Tensor) -> None:
        """Keep only some of the paths."""
        self._recordings = [self._recordings[i] for i in rows.tolist()]

    def path(
        self,
        i: int,
        settings: PathSettings,
        status: PathStatus,
        steps: int,
        last: Tensor,  # (...)
        end: Tensor | None,  # (...)
    ) -> SinglePath:
        """Return the i-th path, which ended after ``steps`` steps at the point ``last``."""
        recording = self._recordings[i]
        log_probs, distance, horizontality, length = (
            torch.cat(pieces) for pieces in zip(*recording.curves, strict=True)
        )
        points = [(step, x) for step, x in recording.points if step < steps] + [(steps, last)]
        threshold = settings.threshold
        return SinglePath(
            kind=settings.kind,
            points=torch.stack([x for _, x in points]).cpu(),
            point_steps=torch.tensor([step for step, _ in points]),
            log_probs=log_probs[: steps + 1],
            distance=distance[: steps + 1],
            horizontality=horizontality[:steps],
            fisher_rao_length=length[: steps + 1],
            status=status,
            end=None if end is None else end.cpu(),
            step_size=float(settings.step_size[recording.row]),
            threshold=None if threshold is None else float(threshold[recording.row]),
            normalization=settings.normalization,
            likelihood=settings.likelihood,
        )
