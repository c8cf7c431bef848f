"""The loop that both kinds of paths share: one batch, one step after the other."""

from __future__ import annotations

from typing import NoReturn, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from lightning_leaf.classifier import Classifier
from lightning_leaf.fisher_rao import fisher_rao_distance
from lightning_leaf.interruption import stop_if_wanted
from lightning_leaf.leaf_path import LeafPath, PathStatus, SinglePath
from lightning_leaf.recorder import Recorder, Terms
from lightning_leaf.tangents import Method, Projector, Tangents

STALL_WINDOW = 100
"""Steps after which a path that came no closer is stalled."""
STALL_PROGRESS = 0.2
"""Progress, in steps, that counts as coming closer within the window."""
ROUNDS_OF_BLOCKING = 4
"""Of finding the coordinates that a walk must leave alone; what is then left is clamped."""
STEPS_BETWEEN_CHECKS = 16
"""Reading a status stops the host until an accelerator has caught up, so it is done rarely."""

WALKING = -1
STATUSES = tuple(PathStatus)
_CODE = {status: code for code, status in enumerate(STATUSES)}


class Goal(Protocol):
    """Where a batch of walks is heading; n of them are still walking."""

    @property
    def destinations(self) -> Tensor | None:  # (n, ...)
        """Where the walks are to end, if anywhere."""

    def distance(self, x: Tensor) -> Tensor:  # (n, ...) -> (n,)
        """The distance that the path reports, float64."""

    def displacement(self, x: Tensor, tangent: Projector) -> Tensor:  # (n, ...) -> (n, d)
        """The next step, float64; zero where there is no direction left."""

    def reached(self, distance: Tensor) -> Tensor:  # (n,) -> (n,)
        """Whether each walk has arrived."""

    def made_progress(self, distance: Tensor, displacement: Tensor) -> Tensor:  # -> (n,)
        """Whether each walk is still getting somewhere, given its last actual displacement."""

    def select(self, rows: Tensor) -> Goal:
        """The goal of some of the walks only."""


class Along:
    """Along the leaf towards a destination: the displacement to it, projected on D_x."""

    def __init__(
        self,
        destinations: Tensor,  # (n, ...)
        step_size: Tensor,  # (n,)
        threshold: Tensor,  # (n,)
        closest: Tensor | None = None,  # (n,)
        idle: Tensor | None = None,  # (n,)
    ) -> None:
        self.destinations = destinations
        self._step_size = step_size
        self._threshold = threshold
        self._closest = torch.full_like(step_size, torch.inf) if closest is None else closest
        self._idle = torch.zeros_like(step_size) if idle is None else idle

    def distance(self, x: Tensor) -> Tensor:
        return _norm((self.destinations - x).flatten(1).double())

    def displacement(self, x: Tensor, tangent: Projector) -> Tensor:
        v = tangent.project((self.destinations - x).flatten(1))
        # Longer than v would overshoot the closest point of the tangent plane.
        return _scaled(v, torch.minimum(self._step_size, _norm(v)))

    def reached(self, distance: Tensor) -> Tensor:
        return distance <= self._threshold

    def made_progress(self, distance: Tensor, displacement: Tensor) -> Tensor:
        closer = distance < self._closest - STALL_PROGRESS * self._step_size
        self._closest = torch.where(closer, distance, self._closest)
        self._idle = torch.where(closer, 0, self._idle + 1)
        return (self._idle < STALL_WINDOW) & (_norm(displacement) > 1e-6 * self._step_size)

    def select(self, rows: Tensor) -> Along:
        state = (self._step_size, self._threshold, self._closest, self._idle)
        return Along(self.destinations[rows], *(values[rows] for values in state))


class Across:
    """Across the leaves: a fixed direction less its projection on D_x.

    Coordinates that the step would lead out of the domain stay where they are, and D_x is that of
    the others: clamping them afterwards would lead off ker G.
    """

    destinations = None

    def __init__(
        self,
        start: Tensor,  # (n, ...)
        direction: Tensor,  # (n, ...)
        step_size: Tensor,  # (n,)
        bounds: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._start = start
        self._direction = direction
        self._step_size = step_size
        self._bounds = bounds

    def distance(self, x: Tensor) -> Tensor:
        return _norm((x - self._start).flatten(1).double())

    def displacement(self, x: Tensor, tangent: Projector) -> Tensor:
        r = self._direction.flatten(1).double()
        step = self._without_projection(r, tangent)
        if self._bounds is None:
            return step
        low, high = (bound.expand_as(x).flatten(1) for bound in self._bounds)
        origin = x.flatten(1)
        free = torch.ones_like(origin, dtype=torch.bool)
        # Where some stay, the others go further, and some of them too far.
        for _ in range(ROUNDS_OF_BLOCKING):
            target = origin + step
            free = free & (target >= low) & (target <= high)
            step = self._without_projection(r * free, tangent.restricted(free))
        return step

    def _without_projection(self, r: Tensor, tangent: Projector) -> Tensor:  # -> (n, d)
        v = r - tangent.project(r)
        # What is left of a tangent direction is rounding, not a direction.
        exists = _norm(v) > 1e-6 * _norm(r)
        return _scaled(v, torch.where(exists, self._step_size, 0))

    def reached(self, distance: Tensor) -> Tensor:
        return torch.zeros_like(distance, dtype=torch.bool)

    def made_progress(self, distance: Tensor, displacement: Tensor) -> Tensor:
        return _norm(displacement) > 1e-3 * self._step_size

    def select(self, rows: Tensor) -> Across:
        start, direction = self._start[rows], self._direction[rows]
        return Across(start, direction, self._step_size[rows], self._bounds)


def walk(
    classifier: Classifier,
    start: Tensor,  # (N, ...)
    goal: Goal,
    terms: Terms,
    method: Method,
    progress: bool,
) -> LeafPath:
    """Take all the walks, a chunk at a time."""
    classes = classifier.require_usable(start[: method.chunk_size])
    tangents, chunk_size = method.choose(classifier, classes, start[0].numel())
    paths: list[SinglePath] = []
    with tqdm(
        total=len(start) * terms.max_steps,
        desc=f"{terms.kind} paths",
        unit="step",
        disable=None if progress else True,
        delay=0.5,
    ) as bar:
        for rows in torch.split(torch.arange(len(start), device=start.device), chunk_size):
            paths += _walk_chunk(tangents, start[rows], goal.select(rows), terms, rows, bar)
    return LeafPath(paths)


def _walk_chunk(
    tangents: Tangents, x: Tensor, goal: Goal, terms: Terms, rows: Tensor, bar: tqdm[NoReturn]
) -> list[SinglePath]:
    paths: dict[int, SinglePath] = {}
    recorder = Recorder(rows.tolist(), terms.keep_points)
    status = torch.full((len(x),), WALKING, device=x.device)
    steps = torch.zeros_like(status)
    length = x.new_zeros(len(x), dtype=torch.float64)
    previous = None

    for step in range(terms.max_steps + 1):
        log_probs, tangent, finite = tangents.at(x)
        if previous is not None:
            length = length + fisher_rao_distance(previous, log_probs)
        previous = log_probs

        distance = goal.distance(x)
        target = (x.flatten(1) + goal.displacement(x, tangent)).reshape(x.shape).to(x.dtype)
        if terms.bounds is not None:
            target = target.clamp(*terms.bounds)
        actual = (target - x).flatten(1).double()
        horizontality = tangent.share(actual)
        recorder.add(step, x, log_probs, distance, horizontality, length)

        status = _end(status, ~finite, PathStatus.NON_FINITE)
        status = _end(status, goal.reached(distance), PathStatus.REACHED)
        status = _end(status, ~goal.made_progress(distance, actual), PathStatus.STALLED)
        if step == terms.max_steps:
            status = _end(status, finite, PathStatus.OUT_OF_STEPS)
        walking = status == WALKING
        steps = steps + walking
        x = torch.where(walking.reshape(-1, *[1] * (x.ndim - 1)), target, x)

        if (step + 1) % STEPS_BETWEEN_CHECKS == 0 or step == terms.max_steps:
            stop_if_wanted()
            recorder.flush()
            bar.update(STEPS_BETWEEN_CHECKS * len(x) if step < terms.max_steps else 0)
            done = (~walking).nonzero().flatten().tolist()
            for i in done:
                end = None if goal.destinations is None else goal.destinations[i]
                paths[recorder.rows[i]] = recorder.path(
                    i, terms, STATUSES[int(status[i])], int(steps[i]), x[i], end
                )
            rest = walking.nonzero().flatten()
            if not len(rest):
                break
            if done:
                x, status, steps, length = x[rest], status[rest], steps[rest], length[rest]
                previous, goal = previous[rest], goal.select(rest)
                tangents = tangents.select(rest)
                recorder.select(rest)
    return [paths[row] for row in sorted(paths)]


def _end(status: Tensor, ended: Tensor, why: PathStatus) -> Tensor:
    return torch.where((status == WALKING) & ended, _CODE[why], status)


def _norm(v: Tensor) -> Tensor:  # (n, d) -> (n,)
    norm: Tensor = torch.linalg.vector_norm(v, dim=1)
    return norm


def _scaled(v: Tensor, length: Tensor) -> Tensor:  # (n, d), (n,) -> (n, d)
    """v with the given length; zero stays zero."""
    norm = _norm(v)
    return v * (length / torch.where(norm > 0, norm, 1)).unsqueeze(1)
