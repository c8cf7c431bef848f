"""The loop that both kinds of paths share: one batch, one step after the other."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.interruption import stop_if_wanted
from lightning_leaf.paths.leaf_path import LeafPath, PathStatus, SinglePath
from lightning_leaf.paths.projectors import Method, Projector, Tangents
from lightning_leaf.paths.recorder import Recorder, Terms

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

    def joined(self, others: Goal) -> Goal:
        """The goal of these walks and of others of the same kind."""


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
        return Along(*(values[rows] for values in self._state()))

    def joined(self, others: Goal) -> Along:
        assert isinstance(others, Along)
        return Along(*map(torch.cat, zip(self._state(), others._state(), strict=True)))

    def _state(self) -> tuple[Tensor, ...]:
        return self.destinations, self._step_size, self._threshold, self._closest, self._idle


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

    def joined(self, others: Goal) -> Across:
        assert isinstance(others, Across)
        return Across(
            torch.cat([self._start, others._start]),
            torch.cat([self._direction, others._direction]),
            torch.cat([self._step_size, others._step_size]),
            self._bounds,
        )


def walk(
    classifier: Classifier,
    start: Tensor,  # (N, ...)
    goal: Goal,
    terms: Terms,
    method: Method,
    progress: bool,
) -> LeafPath:
    """Take all the walks, a batch at a time; where one has ended, the next takes its place."""
    classes = classifier.require_usable(start[: method.chunk_size])
    tangents, size = method.choose(classifier, classes, start[0].numel())
    paths: dict[int, SinglePath] = {}
    with tqdm(
        total=len(start) * terms.max_steps,
        desc=f"{terms.kind} paths",
        unit="step",
        disable=None if progress else True,
        delay=0.5,
    ) as bar:
        batch = _Batch(tangents, start, goal, terms)
        batch.admit(list(range(min(size, len(start)))))
        admitted = len(batch)
        while len(batch):
            taken = batch.advance()
            bar.update(taken)
            stop_if_wanted()
            for row, path in batch.release():
                paths[row] = path
                bar.update(terms.max_steps - path.steps)
            waiting = range(admitted, min(len(start), admitted + size - len(batch)))
            batch.admit(list(waiting))
            admitted += len(waiting)
    return LeafPath([paths[row] for row in range(len(start))])


class _Batch:
    """Walks that go on together, each at its own step.

    Args:
        tangents: How they find out about their points.
        start: Of all walks, ``(N, ...)``.
        goal: Of all walks.
        terms: What was agreed for all walks.
    """

    def __init__(self, tangents: Tangents, start: Tensor, goal: Goal, terms: Terms) -> None:
        self._start = start
        self._all_goals = goal
        self._terms = terms
        self._recorder = Recorder(terms.keep_points)
        none = torch.zeros(0, dtype=torch.long, device=start.device)
        self._tangents = tangents.select(none)
        self._goal = goal.select(none)
        self._x = start[none]
        self._status = none  # of each walk, WALKING or the code of a status
        self._taken = none  # steps
        self._age = none  # steps and, once it has ended, rounds in which it stood still
        self._length = start.new_zeros(0, dtype=torch.float64)
        self._previous: Tensor | None = None  # log-probabilities at the last points

    def __len__(self) -> int:
        return len(self._x)

    def admit(self, rows: list[int]) -> None:
        """Let some of all walks begin."""
        if not rows:
            return
        chosen = torch.tensor(rows, device=self._start.device)
        zeros = torch.zeros_like(chosen)
        self._x = torch.cat([self._x, self._start[chosen]])
        self._status = torch.cat([self._status, zeros + WALKING])
        self._taken = torch.cat([self._taken, zeros])
        self._age = torch.cat([self._age, zeros])
        self._length = torch.cat([self._length, zeros.double()])
        self._goal = self._goal.joined(self._all_goals.select(chosen))
        self._tangents = self._tangents.joined(len(rows))
        self._recorder.admit(rows)

    def advance(self) -> int:
        """Some steps of every walk, until a status is to be read; the number of steps taken."""
        oldest = max(self._recorder.ages)
        rounds = min(STEPS_BETWEEN_CHECKS, self._terms.max_steps - oldest + 1)
        for _ in range(rounds):
            self._step()
        self._recorder.flush()
        return min(rounds, self._terms.max_steps - oldest) * len(self)

    def _step(self) -> None:
        x, terms = self._x, self._terms
        log_probs, tangent, finite = self._tangents.at(x)
        if self._previous is not None:
            before = self._previous
            if len(before) < len(x):  # who has just begun comes from nowhere
                before = torch.cat([before, log_probs[len(before) :]])
            self._length = self._length + fisher_rao_distance(before, log_probs)
        self._previous = log_probs

        distance = self._goal.distance(x)
        target = (x.flatten(1) + self._goal.displacement(x, tangent)).reshape(x.shape).to(x.dtype)
        if terms.bounds is not None:
            target = target.clamp(*terms.bounds)
        actual = (target - x).flatten(1).double()
        horizontality = tangent.share(actual)
        self._recorder.add(x, log_probs, distance, horizontality, self._length)

        status = _end(self._status, ~finite, PathStatus.NON_FINITE)
        status = _end(status, self._goal.reached(distance), PathStatus.REACHED)
        status = _end(status, ~self._goal.made_progress(distance, actual), PathStatus.STALLED)
        status = _end(status, self._age == terms.max_steps, PathStatus.OUT_OF_STEPS)
        walking = status == WALKING
        self._status = status
        self._age = self._age + 1
        self._taken = self._taken + walking
        self._x = torch.where(walking.reshape(-1, *[1] * (x.ndim - 1)), target, x)

    def release(self) -> list[tuple[int, SinglePath]]:
        """The walks that have ended, which leave the batch."""
        walking = self._status == WALKING
        ended = []
        for i in (~walking).nonzero().flatten().tolist():
            end = None if self._goal.destinations is None else self._goal.destinations[i]
            status, taken = STATUSES[int(self._status[i])], int(self._taken[i])
            path = self._recorder.path(i, self._terms, status, taken, self._x[i], end)
            ended.append((self._recorder.rows[i], path))
        if ended:
            rest = walking.nonzero().flatten()
            self._x, self._status, self._taken = (
                self._x[rest],
                self._status[rest],
                self._taken[rest],
            )
            self._age, self._length = self._age[rest], self._length[rest]
            assert self._previous is not None
            self._previous = self._previous[rest]
            self._goal, self._tangents = self._goal.select(rest), self._tangents.select(rest)
            self._recorder.select(rest)
        return ended


def _end(status: Tensor, ended: Tensor, why: PathStatus) -> Tensor:
    return torch.where((status == WALKING) & ended, _CODE[why], status)


def _norm(v: Tensor) -> Tensor:  # (n, d) -> (n,)
    norm: Tensor = torch.linalg.vector_norm(v, dim=1)
    return norm


def _scaled(v: Tensor, length: Tensor) -> Tensor:  # (n, d), (n,) -> (n, d)
    """v with the given length; zero stays zero."""
    norm = _norm(v)
    return v * (length / torch.where(norm > 0, norm, 1)).unsqueeze(1)
