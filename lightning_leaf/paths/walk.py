"""The loop that computes a batch of horizontal paths or orthogonal walks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightning_leaf.drawing.plotting import KIND_NAMES
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.interruption import end_requested, raise_if_interrupted
from lightning_leaf.paths.leaf_path import LeafPath, PathStatus, SinglePath
from lightning_leaf.paths.progress import tqdm
from lightning_leaf.paths.projectors import ProjectionSettings, Projector, Projectors
from lightning_leaf.paths.recorder import Recorder
from lightning_leaf.paths.settings import PathSettings

STEPS_BETWEEN_CHECKS = 16
"""Path steps between two reads of the status, which make the host wait for the accelerator."""

_WALKING = -1
_STATUSES = tuple(PathStatus)
_CODES = {status: code for code, status in enumerate(_STATUSES)}


class Goal(Protocol):
    """The rule that gives the next step of every path and decides when a path ends.

    A goal belongs to a batch of n paths.
    """

    @property
    def destinations(self) -> Tensor | None:  # (n, ...)
        """The destinations; None for paths without one."""

    def distance(self, x: Tensor) -> Tensor:  # (n, ...) -> (n,)
        """Return the distance that the path records, float64."""

    def displacement(self, x: Tensor, projector: Projector) -> Tensor:  # (n, ...) -> (n, d)
        """Return the next step, float64; zero if no direction is left."""

    def reached(self, distance: Tensor) -> Tensor:  # (n,) -> (n,)
        """Return whether each path has reached its destination."""

    def made_progress(self, distance: Tensor, displacement: Tensor) -> Tensor:  # -> (n,)
        """Return whether each path still makes progress, given its last actual displacement."""

    def select(self, rows: Tensor) -> Goal:
        """Return the goal of some of the paths."""

    def concatenate(self, others: Goal) -> Goal:
        """Return the goal of these paths followed by others of the same kind."""


def walk(
    classifier: Classifier,
    start: Tensor,  # (N, ...)
    goal: Goal,
    settings: PathSettings,
    projection: ProjectionSettings,
    progress: bool,
) -> LeafPath:
    """Compute all paths in batches. When a path ends, the next one takes its place.

    If :func:`~lightning_leaf.model.interruption.ended_when` requests an end, all paths end after
    the steps taken so far. Paths that have not begun then have no steps.

    Args:
        classifier: An open classifier.
        start: Starting points of all paths.
        goal: Goal of all paths.
        settings: Settings of all paths.
        projection: How projections on D_x are computed.
        progress: Show a progress bar on a terminal or in a notebook.

    Raises:
        LeafError: If the classifier cannot be used.
        Interrupted: If an interruption was requested; see
            :func:`~lightning_leaf.model.interruption.interrupted_when`.
    """
    classes = classifier.require_usable(start[: projection.chunk_size])
    projectors, size = projection.choose(classifier, classes, start)
    paths: dict[int, SinglePath] = {}
    with tqdm(
        total=len(start) * settings.max_steps,
        desc=f"{KIND_NAMES[settings.kind]}s",
        unit="step",
        disable=None if progress else True,
        delay=0.5,
    ) as bar:
        batch = _Batch(projectors, start, goal, settings)
        batch.add(list(range(min(size, len(start)))))
        added = len(batch)
        while len(batch):
            bar.update(batch.advance())
            raise_if_interrupted()
            for row, path in batch.remove_ended():
                paths[row] = path
                bar.update(settings.max_steps - path.steps)
            waiting = range(added, min(len(start), added + size - len(batch)))
            batch.add(list(waiting))
            added += len(waiting)
    return LeafPath([paths[row] for row in range(len(start))])


class _Batch:
    """Paths that are computed together, each at its own step.

    Args:
        projectors: Compute the projections on D_x.
        start: Starting points of all paths, ``(N, ...)``.
        goal: Goal of all paths.
        settings: Settings of all paths.
    """

    def __init__(
        self, projectors: Projectors, start: Tensor, goal: Goal, settings: PathSettings
    ) -> None:
        self._start = start
        self._goal_of_all = goal
        self._settings = settings
        self._recorder = Recorder(settings.keep_points)
        no_rows = torch.zeros(0, dtype=torch.long, device=start.device)
        self._projectors = projectors.select(no_rows)
        self._goal = goal.select(no_rows)
        self._x = start[no_rows]
        self._status = no_rows  # of each path: _WALKING or the code of a status
        self._steps = no_rows  # number of steps of each path
        self._evaluated = no_rows  # number of points evaluated of each path, also after its end
        self._length = start.new_zeros(0, dtype=torch.float64)
        self._previous: Tensor | None = None  # log-probabilities at the last points

    def __len__(self) -> int:
        return len(self._x)

    def add(self, rows: list[int]) -> None:
        """Add the paths of the given rows, at their starting points."""
        if not rows:
            return
        chosen = torch.tensor(rows, device=self._start.device)
        zeros = torch.zeros_like(chosen)
        self._x = torch.cat([self._x, self._start[chosen]])
        self._status = torch.cat([self._status, zeros + _WALKING])
        self._steps = torch.cat([self._steps, zeros])
        self._evaluated = torch.cat([self._evaluated, zeros])
        self._length = torch.cat([self._length, zeros.double()])
        self._goal = self._goal.concatenate(self._goal_of_all.select(chosen))
        self._projectors = self._projectors.extended(len(rows))
        self._recorder.add_paths(rows)

    def advance(self) -> int:
        """Advance every path by some steps, and return their total number."""
        longest = max(self._recorder.recorded)
        rounds = min(STEPS_BETWEEN_CHECKS, self._settings.max_steps - longest + 1)
        for _ in range(rounds):
            ending = end_requested()
            self._step(ending)
            if ending:
                break
        self._recorder.flush()
        evaluated = max(self._recorder.recorded) - longest
        return min(evaluated, self._settings.max_steps - longest) * len(self)

    def _step(self, ending: bool) -> None:
        """Evaluate the point of every path and move to the next point, unless the path ends."""
        x, settings = self._x, self._settings
        log_probs, projector, finite = self._projectors.at(x)
        if self._previous is not None:
            before = self._previous
            if len(before) < len(x):  # added paths have no previous point
                before = torch.cat([before, log_probs[len(before) :]])
            moved = fisher_rao_distance(before, log_probs, settings.likelihood)
            self._length = self._length + moved
        self._previous = log_probs

        distance = self._goal.distance(x)
        step = self._goal.displacement(x, projector)
        target = (x.flatten(1) + step).reshape(x.shape).to(x.dtype)
        if settings.bounds is not None:
            target = target.clamp(*settings.bounds)
        actual = (target - x).flatten(1).double()
        horizontality = projector.share(actual)
        self._recorder.add_points(x, log_probs, distance, horizontality, self._length)

        status = _end(self._status, ~finite, PathStatus.NON_FINITE)
        status = _end(status, self._goal.reached(distance), PathStatus.REACHED)
        status = _end(status, ~self._goal.made_progress(distance, actual), PathStatus.STALLED)
        status = _end(status, self._evaluated == settings.max_steps, PathStatus.OUT_OF_STEPS)
        if ending:
            status = _end(status, torch.ones_like(finite), PathStatus.OUT_OF_TIME)
        walking = status == _WALKING
        self._status = status
        self._evaluated = self._evaluated + 1
        self._steps = self._steps + walking
        self._x = torch.where(walking.reshape(-1, *[1] * (x.ndim - 1)), target, x)

    def remove_ended(self) -> list[tuple[int, SinglePath]]:
        """Remove the paths that have ended, and return each with its row."""
        walking = self._status == _WALKING
        ended = []
        for i in (~walking).nonzero().flatten().tolist():
            end = None if self._goal.destinations is None else self._goal.destinations[i]
            status, steps = _STATUSES[int(self._status[i])], int(self._steps[i])
            path = self._recorder.path(i, self._settings, status, steps, self._x[i], end)
            ended.append((self._recorder.rows[i], path))
        if ended:
            self._select(walking.nonzero().flatten())
        return ended

    def _select(self, rest: Tensor) -> None:
        assert self._previous is not None
        self._x, self._previous = self._x[rest], self._previous[rest]
        self._status, self._steps = self._status[rest], self._steps[rest]
        self._evaluated, self._length = self._evaluated[rest], self._length[rest]
        self._goal, self._projectors = self._goal.select(rest), self._projectors.select(rest)
        self._recorder.select(rest)


def _end(status: Tensor, ended: Tensor, reason: PathStatus) -> Tensor:
    return torch.where((status == _WALKING) & ended, _CODES[reason], status)


def norms(v: Tensor) -> Tensor:  # (n, d) -> (n,)
    """Return the Euclidean norm of every row."""
    norm: Tensor = torch.linalg.vector_norm(v, dim=1)
    return norm


def scaled(v: Tensor, length: Tensor) -> Tensor:  # (n, d), (n,) -> (n, d)
    """Return every row of v scaled to the given length; a zero row stays zero."""
    norm = norms(v)
    return v * (length / torch.where(norm > 0, norm, 1)).unsqueeze(1)
