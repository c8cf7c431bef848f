"""The steps of a path that a map shows: evenly spaced over the change of the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.drawing.plotting import PlottablePath

LEAST_LENGTH = 0.25
"""Fisher–Rao length for each image between the first and the last one."""


class MappablePath(PlottablePath, Protocol):
    """The attributes of a path that a map shows; :class:`~lightning_leaf.SinglePath` has them."""

    @property
    def fisher_rao_length(self) -> Tensor:
        """Fisher–Rao length at every step, ``(T + 1,)``."""

    @property
    def status(self) -> Enum:
        """The reason why the path ended."""


@dataclass(frozen=True)
class MapCurve:
    """The steps of a path that a map shows.

    Attributes:
        path: The path.
        number: The number of the path.
        steps: The steps, ``(S,)``, ascending, with the first and the last finite one.
        frames: Numbers of the points that are shown as images, ``(k,)``.
    """

    path: MappablePath
    number: int
    steps: Tensor
    frames: Tensor

    @property
    def log_probs(self) -> Tensor:
        """Log-probabilities at the steps, ``(S, C)``, float64."""
        return self.path.log_probs[self.steps].double()

    @property
    def frame_rows(self) -> Tensor:
        """The place of each image in ``steps``, ``(k,)``."""
        return torch.searchsorted(self.steps, self.path.point_steps[self.frames])


def map_curve(path: MappablePath, count: int, images: int, number: int = 0) -> MapCurve | None:
    """Choose steps and points that are evenly spaced over the Fisher–Rao length of a path.

    Steps where the prediction hardly changes would lie on top of each other. A path along which it
    hardly changes has only the images of its start and end.

    Args:
        path: The path.
        count: Number of steps, to which those of the images are added.
        images: Largest number of points to show as images.
        number: The number of the path.

    Returns:
        The choice; None if no prediction is finite.
    """
    finite = ~path.log_probs.isnan().any(1)
    last = int(finite.long().cumprod(0).sum()) - 1
    if last < 0:
        return None
    length = path.fisher_rao_length[: last + 1].contiguous()
    steps = _evenly(length, count)
    kept = path.point_steps[path.point_steps <= last]
    images = min(images, 2 + int(length[-1] / LEAST_LENGTH))
    frames = _evenly(length[kept].contiguous(), images) if images else kept[:0]
    return MapCurve(path, number, torch.unique(torch.cat([steps, kept[frames]])), frames)


def without_repeats(curves: Sequence[MapCurve]) -> list[MapCurve]:
    """Remove the images of starts that an earlier path has, too."""
    kept: list[MapCurve] = []
    for curve in curves:
        start = curve.path.points[0]
        if any(torch.equal(start, other.path.points[0]) for other in kept):
            curve = replace(curve, frames=curve.frames[1:])
        kept.append(curve)
    return kept


def _evenly(length: Tensor, count: int) -> Tensor:  # (T,) -> (at most count,)
    """Return the entries nearest to evenly spaced lengths: the first, and the last if count > 1."""
    if count == 1:
        return torch.zeros(1, dtype=torch.long)
    wanted = torch.linspace(0, 1, count, dtype=length.dtype) * length[-1]
    above = torch.searchsorted(length, wanted).clamp(max=len(length) - 1)
    below = (above - 1).clamp_min(0)
    nearest = torch.where(wanted - length[below] < length[above] - wanted, below, above)
    nearest[0], nearest[-1] = 0, len(length) - 1
    entries: Tensor = torch.unique(nearest)
    return entries
