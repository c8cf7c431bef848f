"""One step of a batch of paths, on the device of the model."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.paths.captured_step import CapturedStep, captured
from lightning_leaf.paths.goal import Goal, join, norms, select
from lightning_leaf.paths.projectors import Projectors
from lightning_leaf.paths.settings import PathSettings

EAGER_STEPS = 16
"""Steps before a step is captured: the first ones choose algorithms and allocate memory."""
LEAST_STEPS = 64
"""Shortest paths for which capturing a step pays off."""


class PathStep:
    """Evaluate the points of a batch of paths and move to the next points.

    It never waits for the device, and does not know which paths have ended. On CUDA the step of
    long paths is captured as a graph, see
    :class:`~lightning_leaf.paths.captured_step.CapturedStep`.

    Args:
        projectors: Compute the projections on D_x.
        goal: Goal of all paths.
        settings: Settings of all paths.
    """

    def __init__(self, projectors: Projectors, goal: Goal, settings: PathSettings) -> None:
        self._projectors = projectors
        self._goal_of_all = goal
        self._goal = select(goal, slice(0))
        self._bounds = settings.bounds
        self._captures = (
            projectors.can_be_captured
            and goal.tensors[0].device.type == "cuda"
            and settings.max_steps >= LEAST_STEPS
        )
        self._captured: CapturedStep | None = None
        self._eager_steps = 0
        self._zeros = goal.tensors[0].new_zeros(0)

    def add(self, rows: Tensor) -> None:
        """Add the paths of the given rows."""
        self._projectors = self._projectors.extended(len(rows))
        self._arrange(join(self._live_goal(), select(self._goal_of_all, rows)))

    def select(self, paths: Tensor) -> None:
        """Keep only some of the paths."""
        self._projectors = self._projectors.select(paths)
        self._arrange(select(self._live_goal(), paths))

    def _live_goal(self) -> Goal:
        """Return the goal with its present state, which a captured step keeps for itself."""
        return self._goal if self._captured is None else self._captured.goal(self._paths)

    @property
    def _paths(self) -> int:
        return len(self._goal.tensors[0])

    def _arrange(self, goal: Goal) -> None:
        self._goal = goal
        if self._captured is not None:
            if self._captured.fits(self._paths):
                self._captured.arrange(goal)
            else:
                self._captured, self._eager_steps = None, 0

    def destination(self, path: int) -> Tensor | None:
        """Return the destination of a path, if it has one."""
        destinations = self._goal.destinations
        return None if destinations is None else destinations[path]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the results of a step, and the next points.

        The results are the log-probabilities and the columns of
        :data:`~lightning_leaf.paths.block.COLUMNS`, ``(n, C + 6)``, float64.

        Args:
            x: The points, ``(n, ...)``.
        """
        if self._captured is not None:
            return self._captured(x)
        self._eager_steps += 1
        captures = self._captures and self._eager_steps == EAGER_STEPS
        before = select(self._goal, slice(None)) if captures else self._goal
        step = self._compute(self._goal, x)
        if captures:
            self._captured = captured(self._compute, before, x, step)
            self._captures = self._captured is not None
        return step

    def _nothing(self, like: Tensor) -> Tensor:
        """Return zeros, which are made once for each number of paths."""
        if self._zeros.shape != like.shape:
            self._zeros = torch.zeros_like(like)
        return self._zeros

    def _compute(self, goal: Goal, x: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, projector = self._projectors.at(x)
        move = goal.move(x, log_probs, projector)
        following = move.target.reshape(x.shape).to(x.dtype)
        if self._bounds is not None:
            following = following.clamp(*self._bounds)
        actual = (following - x).flatten(1).double()
        square = projector.projected_square(actual)
        barrier = self._nothing(move.distance) if move.barrier is None else move.barrier
        potential = move.distance if move.potential is None else move.potential
        columns = (move.distance, square, norms(actual), projector.marker, barrier, potential)
        results = torch.cat([log_probs, *(column.unsqueeze(1) for column in columns)], dim=1)
        return results, following
