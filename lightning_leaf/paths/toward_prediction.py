"""The goal of a prediction path: the next point of the geodesic to the prediction asked for."""

from __future__ import annotations

from copy import copy

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.geometry.divergence import kl_divergence
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.geometry.geodesic import Secant, geodesic_point
from lightning_leaf.geometry.labels import label_logits
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.domain import ROUNDS, Domain
from lightning_leaf.paths.goal import BARRIERS, Flags, Move, Numbers, norms
from lightning_leaf.paths.projectors import Projector

DAMPING = 1e-3
"""Largest ε of the lift. See ``python -m tests.benchmarks prediction-paths`` for the choice."""
LEAST_DAMPING = 1e-7
"""Smallest ε, unless rounding noise needs a larger one: weaker directions take 3000 times the
change of the input."""
LITTLE, MUCH = 0.5, 0.9
"""Shares of the change asked for that a lift makes, below which ε shrinks, and above which it
grows."""
LESS_DAMPING, MORE_DAMPING = 0.25, 2.0
LARGEST_RISE = 2.0
"""Largest change of a log-ratio in one step, in nats: across it, a network is nearly linear."""
SHARES = 1.0, 0.5, 0.25
"""Shares of a step that are tried. Smaller ones would stay at a kink of the model."""
SUFFICIENT = 0.3
"""Share of the progress expected that is enough."""
LONGEST = 4.0
"""Longest leap, in units of the longest step across which the scores have changed as expected."""
INACCURATE = 0.5
"""Largest error of the change of the scores, relative to the change expected."""
REACHABLE = 0.05
"""Share of the change asked for below which a lift makes none of it."""
STALL_WINDOW = 25
"""Number of steps without progress after which a path is blocked."""
STALL_PROGRESS = 0.1
"""Share of the remaining distance, or of the step size if that is less, that these steps make."""
PER_NAT = 0.1
"""Progress by one nat of KL(target ‖ p(x)), in units of the Fisher–Rao distance. The distance
changes little while a class of probability 10⁻²⁰ becomes one of 10⁻⁴."""


class TowardPrediction:
    """The goal of a prediction path, with the state of every path: its leg and its damping.

    A step is a lift towards a point of the geodesic. The model evaluates some shares of it, and
    the largest one is taken across which the scores change as expected; if there is none, the
    largest one that makes some progress; else the best one. At a kink of the model, where steps
    from one side lead to the other, that leaps over it.

    Args:
        classifier: An open classifier.
        waypoints: Log-probabilities of the intermediate targets and the target, ``(n, L, C)``,
            float64.
        tolerance: Fisher–Rao distance at which a waypoint is reached, ``(n,)``.
        step_size: Largest Fisher–Rao length of a step, ``(n,)``.
        bounds: Smallest and largest valid input; None for an open domain.
    """

    destinations = None

    def __init__(
        self,
        classifier: Classifier,
        waypoints: Tensor,
        tolerance: Tensor,
        step_size: Tensor,
        bounds: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._classifier = classifier
        self._likelihood = classifier.likelihood
        self._bounds = bounds
        here, there = waypoints[:, :-1], waypoints[:, 1:]
        distance = fisher_rao_distance(here, there, self._likelihood)
        between = torch.stack([distance, kl_divergence(there, here, self._likelihood)], -1)
        later = torch.nn.functional.pad(between.flip(1).cumsum(1).flip(1), (0, 0, 0, 1))
        paths = len(waypoints)
        self.tensors: tuple[Tensor, ...] = (
            waypoints,
            later,  # distance and divergence from every waypoint to the target, (n, L, 2)
            tolerance.clone(),
            step_size.clone(),
            torch.zeros(paths, dtype=torch.long, device=waypoints.device),  # the leg
            waypoints.new_full((paths,), DAMPING),
            waypoints.new_full((paths,), torch.nan),  # longest step that changed what it should
        )

    def with_tensors(self, *tensors: Tensor) -> TowardPrediction:
        """See :class:`~lightning_leaf.paths.goal.Goal`."""
        goal = copy(self)
        goal.tensors = tensors
        return goal

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the distance along the geodesics that are left, and the next point."""
        _, _, tolerance, step_size, leg, damping, longest = self.tensors
        arrived = self._left(log_probs, leg)[0] <= tolerance
        leg.copy_((leg + arrived).clamp(max=self.tensors[0].shape[1] - 1))
        to_waypoint, distance, potential = self._left(log_probs, leg)
        waypoint = self._waypoints(leg)
        length = torch.minimum(step_size, to_waypoint)
        point = geodesic_point(log_probs, waypoint, length, self._likelihood)
        secant = Secant.between(log_probs, point, self._likelihood)
        v, scores = projector.lift(secant.change, damping, None, secant.weights)
        reachable = within = reached_share(secant, scores)
        if self._bounds is not None:
            v, scores = self._inside(x, v, scores, secant, projector)
            within = reached_share(secant, scores)
        least = min(max(LEAST_DAMPING, projector.least_damping), DAMPING)
        rank, domain = reachable < REACHABLE, within < REACHABLE * reachable
        barrier = BARRIERS.index("rank") * rank + BARRIERS.index("domain") * (domain & ~rank)
        # The remainder is rounding noise.
        v = torch.where((rank & (damping <= least)).unsqueeze(1), 0, v)
        factor = torch.where(within < LITTLE, LESS_DAMPING, 1.0)
        factor = torch.where(within > MUCH, MORE_DAMPING, factor)
        damping.copy_((damping * factor).clamp(least, DAMPING))
        share = limited_share(log_probs, point, scores, self._likelihood)
        share = torch.fmin(share, LONGEST * longest / norms(v))
        step, scores = share.unsqueeze(1) * v, share.unsqueeze(1) * scores
        part, is_accurate = self._best_part(x, step, scores, secant, log_probs, share * length)
        step = part.unsqueeze(1) * step
        taken = norms(step)
        grown = torch.where(is_accurate, torch.fmax(longest, taken), longest)
        longest.copy_(torch.where(grown.isnan(), taken, grown))
        return Move(distance, self._moved(x, step), barrier.double(), potential)

    def _inside(
        self, x: Tensor, v: Tensor, scores: Tensor, secant: Secant, projector: Projector
    ) -> tuple[Tensor, Tensor]:
        """Return a lift that changes no coordinate at a bound which it would leave."""
        assert self._bounds is not None
        domain = Domain(x, self._bounds)
        for _ in range(ROUNDS):
            free = domain.exclude(v)
            v, scores = projector.lift(secant.change, self.tensors[5], free, secant.weights)
        return v, scores

    def _best_part(
        self,
        x: Tensor,  # (n, ...)
        step: Tensor,  # (n, d)
        scores: Tensor,  # (n, C)
        secant: Secant,
        log_probs: Tensor,  # (n, C)
        length: Tensor,  # (n,)
    ) -> tuple[Tensor, Tensor]:  # (n,), (n,)
        """Return which part of a step to take, and whether the scores change as expected.

        Args:
            x: The points.
            step: The whole step.
            scores: Change of the scores across it.
            secant: Its weights.
            log_probs: Log-probabilities at the points.
            length: Fisher–Rao length of the step.
        """
        before, (*_, left) = self._scores(log_probs), self._left(log_probs, self.tensors[4])
        accurate, sufficient, best = (torch.zeros_like(length) for _ in range(3))
        least_left = torch.full_like(length, torch.inf)
        for part in SHARES:  # tensors of constants would wait for the device
            following = self._moved(x, part * step).reshape(x.shape).to(x.dtype)
            with torch.no_grad():
                found = self._classifier.log_probs(self._classifier(following))
            error = self._scores(found) - before - part * scores
            both = secant.weights @ torch.stack([error, part * scores], -1)  # (n, C, 2)
            of_error, of_change = torch.linalg.vector_norm(both, dim=1).unbind(-1)
            potential = self._left(found, self.tensors[4])[2]
            is_accurate = (accurate == 0) & (of_error <= INACCURATE * of_change)
            is_sufficient = (sufficient == 0) & (potential <= left - SUFFICIENT * part * length)
            is_best = (best == 0) | (potential < least_left)
            accurate = torch.where(is_accurate, part, accurate)
            sufficient = torch.where(is_sufficient, part, sufficient)
            best = torch.where(is_best, part, best)
            least_left = torch.where(is_best, potential.nan_to_num(nan=torch.inf), least_left)
        chosen = torch.where(sufficient > 0, sufficient, best)
        return torch.where(accurate > 0, accurate, chosen), accurate > 0

    def _moved(self, x: Tensor, step: Tensor) -> Tensor:  # (n, ...), (n, d) -> (n, d)
        """Return the point after a step, in the domain."""
        target = x.flatten(1).double() + step
        if self._bounds is None:
            return target
        return target.reshape(x.shape).clamp(*self._bounds).flatten(1)

    def _left(self, log_probs: Tensor, leg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distance to the waypoint, and distance and potential to the target."""
        waypoint = self._waypoints(leg)
        later, later_nats = self.tensors[1][self._rows(leg), leg].unbind(-1)
        distance = fisher_rao_distance(log_probs, waypoint, self._likelihood)
        nats = kl_divergence(waypoint, log_probs, self._likelihood) + later_nats
        return distance, distance + later, distance + later + PER_NAT * nats

    def _waypoints(self, leg: Tensor) -> Tensor:  # (n, C)
        return self.tensors[0][self._rows(leg), leg]

    def _rows(self, leg: Tensor) -> Tensor:
        return torch.arange(len(leg), device=leg.device)

    def _scores(self, log_probs: Tensor) -> Tensor:
        return label_logits(log_probs) if self._likelihood == "bernoulli" else log_probs


def limited_share(
    log_probs: Tensor,  # (n, C)
    point: Tensor,  # (n, C)
    scores: Tensor,  # (n, C)
    likelihood: Likelihood,
) -> Tensor:  # (n,)
    """Return the share of a step that changes the decisive log-ratio by at most 2 nats.

    It is that of the class that gains most and the class that loses most, or the log-ratio of the
    label whose probability changes most.

    Args:
        log_probs: Log-probabilities at the points.
        point: Log-probabilities that the step leads to.
        scores: Change of the scores.
        likelihood: What the scores mean.
    """
    change = point.exp() - log_probs.exp()
    if likelihood == "bernoulli":
        rise = scores.gather(1, change.abs().argmax(1, keepdim=True))
    else:
        gains, loses = change.argmax(1, keepdim=True), change.argmin(1, keepdim=True)
        rise = scores.gather(1, gains) - scores.gather(1, loses)
    return (LARGEST_RISE / rise.abs().squeeze(1)).clamp(max=1)


def reached_share(secant: Secant, scores: Tensor) -> Tensor:  # (n,)
    """Return which share of the change asked for a change of the scores makes, from 0 to 1."""
    made = (secant.weights @ scores.unsqueeze(-1)).squeeze(-1)
    square = secant.change.square().sum(1)
    return torch.where(square > 0, (made * secant.change).sum(1) / square, 1)


class Arrives:
    """The paths that come closer to their target.

    Args:
        step_size: Largest Fisher–Rao length of a step of all paths, ``(N,)``.
    """

    def __init__(self, step_size: Numbers) -> None:
        self._step_size = step_size
        self._closest = np.full_like(step_size, np.inf)  # distance at the last progress
        self._idle = np.zeros(step_size.shape, dtype=np.int64)  # path steps since then

    def goes_on(self, rows: list[int], potential: Numbers, moved: Numbers) -> Flags:
        """See :class:`~lightning_leaf.paths.goal.Progress`."""
        closest = self._closest[rows]
        with np.errstate(invalid="ignore"):
            needed = STALL_PROGRESS * np.minimum(closest, self._step_size[rows])
            closer = potential < np.where(np.isfinite(closest), closest - needed, np.inf)
        self._closest[rows] = np.where(closer, potential, closest)
        self._idle[rows] = idle = np.where(closer, 0, self._idle[rows] + 1)
        return (idle < STALL_WINDOW) & (moved > 0)
