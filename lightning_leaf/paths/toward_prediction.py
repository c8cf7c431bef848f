"""The goal of a prediction path: the next point of the geodesic to the prediction asked for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.geometry.divergence import kl_divergence
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.geometry.geodesic import Secant, geodesic_point, logits, weights_of
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.across_leaves import FREEZING_ROUNDS
from lightning_leaf.paths.goal import BARRIERS, Flags, Move, Numbers
from lightning_leaf.paths.projectors import Projector

DAMPING = 1e-4
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
ACCURATE, INACCURATE = 0.2, 0.5
"""Errors of the predicted change of the scores below which steps grow, and above which they
shrink."""
GROWTH, SHRINKAGE, SMALLEST_SHARE = 1.5, 0.5, 0.1
"""Shorter steps than a tenth would stay at a kink of the network, where steps from one side lead to
the other."""
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
    """The goal of a prediction path, with the state of every path: its leg, and its trust.

    Args:
        waypoints: Log-probabilities of the intermediate targets and the target, ``(n, L, C)``,
            float64.
        tolerance: Fisher–Rao distance at which a waypoint is reached, ``(n,)``.
        step_size: Largest Fisher–Rao length of a step, ``(n,)``.
        bounds: Smallest and largest valid input; None for an open domain.
        likelihood: What the scores mean.
    """

    destinations = None

    def __init__(
        self,
        waypoints: Tensor,
        tolerance: Tensor,
        step_size: Tensor,
        bounds: tuple[Tensor, Tensor] | None,
        likelihood: Likelihood,
    ) -> None:
        self._bounds = bounds
        self._likelihood = likelihood
        paths, classes = waypoints.shape[::2]
        here, there = waypoints[:, :-1], waypoints[:, 1:]
        between = torch.stack(  # (n, L − 1, 2)
            [fisher_rao_distance(here, there, likelihood), kl_divergence(there, here, likelihood)],
            -1,
        )
        later = torch.nn.functional.pad(between.flip(1).cumsum(1).flip(1), (0, 0, 0, 1))
        unknown = waypoints.new_full((paths, classes), torch.nan)
        self.tensors: tuple[Tensor, ...] = (
            waypoints,
            later,
            tolerance.clone(),
            step_size.clone(),
            torch.zeros(paths, dtype=torch.long, device=waypoints.device),  # the leg
            waypoints.new_full((paths,), DAMPING),
            waypoints.new_ones(paths),  # trust: the share of the step size that is taken
            unknown,  # log-probabilities at the last point
            unknown.clone(),  # the change of the scores that was expected from there
            unknown.clone(),  # and the logarithms of its weights
        )

    def with_tensors(self, *tensors: Tensor) -> TowardPrediction:
        """See :class:`~lightning_leaf.paths.goal.Goal`."""
        goal = TowardPrediction.__new__(TowardPrediction)
        goal._bounds, goal._likelihood, goal.tensors = self._bounds, self._likelihood, tensors
        return goal

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the distance along the geodesics that are left, and x + v with the lift v."""
        *_, damping, trust, last, expected, log_weights = self.tensors
        self._adapt_trust(log_probs)
        distance, (later, later_nats), waypoint = self._aim(log_probs)
        step_size = self.tensors[3]
        point = geodesic_point(
            log_probs, waypoint, torch.minimum(step_size, distance), self._likelihood
        )
        secant = Secant.between(log_probs, point, self._likelihood)
        v, scores = projector.lift(secant.change, damping, None, secant.weights)
        reachable = reached_share(secant, scores)
        share = trust * self._share(log_probs, point, scores)
        flat = x.flatten(1).double()
        target = flat + share.unsqueeze(1) * v
        within = reachable
        if self._bounds is not None:
            low, high = (bound.expand_as(x).flatten(1).double() for bound in self._bounds)
            free: Tensor | None = None
            # Freezing some coordinates lengthens the step in the others and may move them out too.
            for _ in range(FREEZING_ROUNDS):
                inside = (target >= low) & (target <= high)
                free = inside if free is None else free & inside
                v, scores = projector.lift(secant.change, damping, free, secant.weights)
                share = trust * self._share(log_probs, point, scores)
                target = flat + share.unsqueeze(1) * v
            within = reached_share(secant, scores)
        last.copy_(log_probs)
        expected.copy_(share.unsqueeze(1) * scores)
        log_weights.copy_(secant.log_weights)
        factor = torch.where(within < LITTLE, LESS_DAMPING, 1.0)
        factor = torch.where(within > MUCH, MORE_DAMPING, factor)
        damping.copy_(
            (damping * factor).clamp(max(LEAST_DAMPING, projector.least_damping), DAMPING)
        )
        rank, domain = reachable < REACHABLE, within < REACHABLE * reachable
        barrier = BARRIERS.index("rank") * rank + BARRIERS.index("domain") * (domain & ~rank)
        nats = kl_divergence(waypoint, log_probs, self._likelihood) + later_nats
        remaining = distance + later
        return Move(remaining, target, barrier.double(), remaining + PER_NAT * nats)

    def _adapt_trust(self, log_probs: Tensor) -> None:
        """Change the share of the step size by the error of the last change of the scores."""
        *_, trust, last, expected, log_weights = self.tensors
        weights = weights_of(log_weights, self._likelihood)
        actual = self._scores(log_probs) - self._scores(last)
        both = weights @ torch.stack([actual - expected, expected], -1)  # (n, C, 2)
        error, change = torch.linalg.vector_norm(both, dim=1).unbind(-1)
        ratio = error / change
        factor = torch.where(ratio < ACCURATE, GROWTH, 1.0)
        factor = torch.where(ratio > INACCURATE, SHRINKAGE, factor)  # 1 at the first point
        trust.copy_((trust * factor).clamp(SMALLEST_SHARE, 1))

    def _aim(self, log_probs: Tensor) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Begin the next leg of paths at a waypoint.

        Returns:
            Distance to the waypoint; distance and divergences from there to the target; and the
            waypoint.
        """
        waypoints, later, tolerance, _, leg, *_ = self.tensors
        paths = torch.arange(len(leg), device=leg.device)
        arrived = self._distance(log_probs, waypoints[paths, leg]) <= tolerance
        leg.copy_((leg + arrived).clamp(max=waypoints.shape[1] - 1))
        waypoint = waypoints[paths, leg]
        return self._distance(log_probs, waypoint), later[paths, leg].unbind(-1), waypoint

    def _distance(self, log_probs: Tensor, waypoint: Tensor) -> Tensor:
        return fisher_rao_distance(log_probs, waypoint, self._likelihood)

    def _scores(self, log_probs: Tensor) -> Tensor:
        return logits(log_probs) if self._likelihood == "bernoulli" else log_probs

    def _share(self, log_probs: Tensor, point: Tensor, scores: Tensor) -> Tensor:  # (n,)
        """Return the share of a lift that changes the decisive log-ratio by at most 2 nats.

        It is that of the class that gains most and the class that loses most, or the log-ratio
        of the label whose probability changes most.
        """
        change = point.exp() - log_probs.exp()
        if self._likelihood == "bernoulli":
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
