"""What horizontal paths and orthogonal walks have in common: a next point, and a rule to end."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.paths.projectors import Projector

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Goal(Protocol):
    """The rule that gives the next point of each of n paths, on the device of the model.

    All of it can be captured: it never waits for the device.
    """

    @property
    def destinations(self) -> Tensor | None:  # (n, ...)
        """The destinations; None for paths without one."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the goal, one row for each path."""

    def move(self, x: Tensor, projector: Projector) -> tuple[Tensor, Tensor]:
        """Return the distance that the path records, ``(n,)``, and the next point, ``(n, d)``.

        Both are float64. The next point is not yet clamped to the domain. It equals x if no
        direction is left.

        Args:
            x: The points, ``(n, ...)``.
            projector: Projections on D_x there.
        """

    def select(self, rows: Tensor) -> Goal:
        """Return the goal of some of the paths."""


class Progress(Protocol):
    """The rule that says, on the host, when one of all N paths no longer makes progress."""

    def goes_on(self, rows: list[int], distance: Numbers, moved: Numbers) -> Flags:
        """Return whether each path makes progress; call it at every step of these paths.

        Args:
            rows: The paths, n of them.
            distance: The distance that each path recorded, ``(n,)``.
            moved: Length of its displacement, ``(n,)``.
        """


def norms(v: Tensor) -> Tensor:  # (n, d) -> (n,)
    """Return the Euclidean norm of every row."""
    norm: Tensor = torch.linalg.vector_norm(v, dim=1)
    return norm


def advanced(x: Tensor, v: Tensor, scale: Tensor) -> Tensor:  # (n, ...), (n, d), (n,) -> (n, d)
    """Return x plus every row of v times its scale, float64."""
    return torch.addcmul(x.flatten(1).double(), v, scale.unsqueeze(1))
