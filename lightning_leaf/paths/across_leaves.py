"""The goal of an orthogonal walk along a fixed direction."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.paths.goal import Flags, Move, Numbers, advanced, norms
from lightning_leaf.paths.projectors import Projector

FREEZING_ROUNDS = 4
"""Rounds to determine the coordinates that a step must not change; then the step is clamped."""


class AcrossLeaves:
    """The goal of an orthogonal walk: a fixed direction minus its projection on D_x.

    Coordinates that the step would move out of the domain keep their values, and D_x is restricted
    to the others, because clamping after the step would leave ker G.

    Args:
        start: Starting points, ``(n, ...)``.
        direction: r of unit length or zero, ``(n, d)``, float64.
        step_size: α, ``(n,)``.
        bounds: Smallest and largest valid input; None for an open domain.
    """

    destinations = None

    def __init__(
        self,
        start: Tensor,
        direction: Tensor,
        step_size: Tensor,
        bounds: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._start = start
        self._direction = direction
        self._step_size = step_size
        self._bounds = bounds

    @classmethod
    def along(
        cls,
        start: Tensor,  # (n, ...)
        direction: Tensor,  # (n, ...)
        step_size: Tensor,  # (n,)
        bounds: tuple[Tensor, Tensor] | None,
    ) -> AcrossLeaves:
        """Return the goal with directions of any length."""
        r = direction.flatten(1).double()
        return cls(start, r / norms(r).clamp_min(1e-300).unsqueeze(1), step_size, bounds)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Starting points, directions and step sizes."""
        return self._start, self._direction, self._step_size

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the distance from the start, and x + r − Πr scaled to the step size."""
        distance = norms((x - self._start).flatten(1).double())
        target = self._across(x, projector.reject(self._direction), projector.error)
        if self._bounds is None:
            return Move(distance, target)
        low, high = (bound.expand_as(x).flatten(1) for bound in self._bounds)
        free: Tensor | None = None
        # Freezing some coordinates lengthens the step in the others and may move them out too.
        for _ in range(FREEZING_ROUNDS):
            inside = target.clamp(low, high) == target
            free = inside if free is None else free & inside
            rejection = projector.reject(self._direction, free)
            target = self._across(x, rejection, projector.error)
        return Move(distance, target)

    def _across(self, x: Tensor, v: Tensor, error: float) -> Tensor:  # -> (n, d)
        # A remainder as small as the error of the projection is no direction: r is tangent.
        norm = torch.nn.functional.threshold(norms(v), error, torch.inf)
        return advanced(x, v, self._step_size / norm)

    def with_tensors(self, *tensors: Tensor) -> AcrossLeaves:
        """See :class:`~lightning_leaf.paths.goal.Goal`."""
        start, direction, step_size = tensors
        return AcrossLeaves(start, direction, step_size, self._bounds)


class KeepsMoving:
    """The walks that move.

    Args:
        step_size: α of all walks, ``(N,)``.
    """

    def __init__(self, step_size: Numbers) -> None:
        self._step_size = step_size

    def goes_on(self, rows: list[int], potential: Numbers, moved: Numbers) -> Flags:
        """See :class:`~lightning_leaf.paths.goal.Progress`."""
        moves: Flags = moved > 1e-3 * self._step_size[rows]
        return moves
