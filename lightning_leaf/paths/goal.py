"""What horizontal paths and orthogonal walks have in common: a next point, and a rule to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.paths.projectors import Projector
from lightning_leaf.paths.single_path import Barrier

G = TypeVar("G", bound="Goal")
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


BARRIERS: tuple[Barrier, ...] = get_args(Barrier)
"""What can block a path; a :class:`Move` holds positions in this tuple."""


@dataclass(frozen=True)
class Move:
    """The next point of each of n paths.

    Attributes:
        distance: The distance that the path records, ``(n,)``, float64.
        target: The next point, ``(n, d)``, float64, not yet clamped to the domain. It equals x if
            no direction is left.
        barrier: What blocks the path if it makes no progress: a position in :data:`BARRIERS`,
            ``(n,)``. None if nothing is known to block any path.
        potential: A number that decreases while the path makes progress, ``(n,)``, float64. None:
            the distance.
    """

    distance: Tensor
    target: Tensor
    barrier: Tensor | None = None
    potential: Tensor | None = None


class Goal(Protocol):
    """The rule that gives the next point of each of n paths, on the device of the model.

    All of it can be captured: it never waits for the device. A goal with a state, such as a step
    size that adapts, writes it in place into its tensors.
    """

    @property
    def destinations(self) -> Tensor | None:  # (n, ...)
        """The destinations; None for paths without one."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the goal, one row for each path."""

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the next points.

        Args:
            x: The points, ``(n, ...)``.
            log_probs: Log-probabilities there, ``(n, C)``, float64.
            projector: Projections on D_x there.
        """

    def with_tensors(self: G, *tensors: Tensor) -> G:
        """Return the goal with other values of :attr:`tensors`, for other paths."""


def select(goal: G, rows: Tensor | slice) -> G:
    """Return the goal of some of the paths, with a copy of its tensors."""
    return goal.with_tensors(*(tensor[rows].clone() for tensor in goal.tensors))


def join(goal: G, other: G) -> G:
    """Return the goal of the paths of both goals."""
    pairs = zip(goal.tensors, other.tensors, strict=True)
    return goal.with_tensors(*(torch.cat(pair) for pair in pairs))


class Progress(Protocol):
    """The rule that says, on the host, when one of all N paths no longer makes progress."""

    def goes_on(self, rows: list[int], potential: Numbers, moved: Numbers) -> Flags:
        """Return whether each path makes progress; call it at every step of these paths.

        Args:
            rows: The paths, n of them.
            potential: The number that decreases while each path makes progress, ``(n,)``: the
                recorded distance, unless the goal has another.
            moved: Length of its displacement, ``(n,)``.
        """


def norms(v: Tensor) -> Tensor:  # (n, d) -> (n,)
    """Return the Euclidean norm of every row."""
    norm: Tensor = torch.linalg.vector_norm(v, dim=1)
    return norm


def advanced(x: Tensor, v: Tensor, scale: Tensor) -> Tensor:  # (n, ...), (n, d), (n,) -> (n, d)
    """Return x plus every row of v times its scale, float64."""
    return torch.addcmul(x.flatten(1).double(), v, scale.unsqueeze(1))
