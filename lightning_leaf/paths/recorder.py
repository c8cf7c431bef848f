"""Keeps what a batch of walks went through, in bounded memory on the accelerator."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.paths.leaf_path import PathKind, PathStatus, SinglePath


@dataclass(frozen=True)
class Terms:
    """What was agreed for a batch of N paths."""

    kind: PathKind
    step_size: Tensor  # (N,)
    threshold: Tensor | None  # (N,); None where there is no destination
    max_steps: int
    keep_points: int
    bounds: tuple[Tensor, Tensor] | None
    normalization: Normalization | None


@dataclass
class _Track:
    """What is kept of one walk."""

    row: int
    age: int = 0
    stride: int = 1
    points: list[tuple[int, Tensor]] = field(default_factory=list)
    curves: list[tuple[Tensor, ...]] = field(default_factory=list)


class Recorder:
    """Curves at every step and evenly thinned points of the walks that are still going on.

    Args:
        keep_points: Points to keep of each at most. Every 2ᵏ-th point is kept; when they become
            too many, every other one is dropped and k goes up.
    """

    def __init__(self, keep_points: int) -> None:
        self._keep_points = keep_points
        self._tracks: list[_Track] = []
        self._block: list[tuple[Tensor, ...]] = []

    @property
    def rows(self) -> list[int]:
        """Which of the N paths the walks are."""
        return [track.row for track in self._tracks]

    @property
    def ages(self) -> list[int]:
        """Points of each walk that have been added."""
        return [track.age for track in self._tracks]

    def admit(self, rows: list[int]) -> None:
        """Walks that begin; nothing may be unflushed."""
        self._tracks += map(_Track, rows)

    def add(self, x: Tensor, *curves: Tensor) -> None:
        """One step of every walk: points ``(n, ...)``, curve values ``(n, ...)`` each."""
        kept = [i for i, track in enumerate(self._tracks) if self._keeps(track)]
        points = x if len(kept) == len(x) else x[kept]
        for i, point in zip(kept, points, strict=True):
            self._tracks[i].points.append((self._tracks[i].age, point))
        for track in self._tracks:
            track.age += 1
        log_probs, *others = curves
        self._block.append((log_probs.float(), *others))

    def _keeps(self, track: _Track) -> bool:
        if track.age % track.stride:
            return False
        if len(track.points) >= self._keep_points - 1:  # one place is for the last point
            track.stride *= 2
            track.points = track.points[::2]
        return track.age % track.stride == 0

    def flush(self) -> None:
        """Move the curves since the last flush to the CPU."""
        block = [torch.stack(values, dim=1).cpu() for values in zip(*self._block, strict=True)]
        for i, track in enumerate(self._tracks):
            track.curves.append(tuple(values[i] for values in block))
        self._block = []

    def select(self, rest: Tensor) -> None:
        """Go on with some of the walks only."""
        self._tracks = [self._tracks[i] for i in rest.tolist()]

    def path(
        self,
        i: int,
        terms: Terms,
        status: PathStatus,
        steps: int,
        last: Tensor,  # (...)
        end: Tensor | None,  # (...)
    ) -> SinglePath:
        """The i-th walk, which ended after ``steps`` steps at ``last``."""
        track = self._tracks[i]
        log_probs, distance, horizontality, length = (
            torch.cat(pieces) for pieces in zip(*track.curves, strict=True)
        )
        points = [(step, x) for step, x in track.points if step < steps] + [(steps, last)]
        return SinglePath(
            kind=terms.kind,
            points=torch.stack([x for _, x in points]).cpu(),
            point_steps=torch.tensor([step for step, _ in points]),
            log_probs=log_probs[: steps + 1],
            distance=distance[: steps + 1],
            horizontality=horizontality[:steps],
            fisher_rao_length=length[: steps + 1],
            status=status,
            end=None if end is None else end.cpu(),
            step_size=float(terms.step_size[track.row]),
            threshold=None if terms.threshold is None else float(terms.threshold[track.row]),
            normalization=terms.normalization,
        )
