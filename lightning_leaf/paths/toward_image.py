"""The goal of an orthogonal walk towards an image, within a bound on the change of p."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.geometry.divergence import kl_divergence, sphere_coordinates
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.paths.domain import ROUNDS, Domain
from lightning_leaf.paths.goal import BARRIERS, Move, advanced, norms
from lightning_leaf.paths.projectors import Projector

DAMPING = 0.1
"""Damping of corrections, relative to tr K."""
FREE_RADIUS = 0.7
"""Distance of the prediction from that of the start up to which it is not corrected, relative to
the distance at which its KL divergence is the largest one allowed."""
MARGIN = 1e-3
"""Part of the largest divergence that is left for rounding."""
SHORTER = 0.25
"""Factor of the step size for the step that is tried if the prediction would change too much."""
LONGER = 1.5
"""Factor by which a reduced step size grows after each step, up to the one asked for."""
LARGEST = 1e100
"""Largest distance from the first prediction up to which it is not corrected."""
DOMAIN, PREDICTION = BARRIERS.index("domain"), BARRIERS.index("prediction")


class TowardImage:
    """The goal of an orthogonal walk with a destination: the displacement minus its projection.

    A step has two parts: the displacement to the destination minus its projection on D_x, at most
    as long as the step size; and, if the prediction has left a ball around that of the start, the
    least change of x that brings it back to the ball. Coordinates at a bound of the domain that a
    step would leave keep their values, see :class:`~lightning_leaf.paths.domain.Domain`.

    The model evaluates the next point. If its prediction is outside the bound, a quarter of the
    step is tried, and the next steps are shorter. If this fails too, the walk is blocked.

    Args:
        classifier: An open classifier.
        max_kl: Largest KL(p(x₀) ‖ p(x)), in nats.
        bounds: Smallest and largest valid input; None for an open domain.
        destinations: Destinations, ``(n, ...)``.
        step_size: α, ``(n,)``.
        first: Log-probabilities at the starting points, ``(n, C)``, float64. NaN before the first
            step.
        scale: Factor of α of the next step, ``(n,)``, float64.
    """

    def __init__(
        self,
        classifier: Classifier,
        max_kl: float,
        bounds: tuple[Tensor, Tensor] | None,
        destinations: Tensor,
        step_size: Tensor,
        first: Tensor,
        scale: Tensor,
    ) -> None:
        self._classifier = classifier
        self._max_kl = max_kl
        self._bounds = bounds
        self.destinations = destinations
        self._step_size = step_size
        self._first = first
        self._scale = scale

    @classmethod
    def at_start(
        cls,
        classifier: Classifier,
        classes: int,
        max_kl: float,
        bounds: tuple[Tensor, Tensor] | None,
        destinations: Tensor,
        step_size: Tensor,
    ) -> TowardImage:
        """Return the goal of walks that have not begun."""
        first = step_size.new_full((len(step_size), classes), torch.nan)
        scale = torch.ones_like(step_size)
        return cls(classifier, max_kl, bounds, destinations, step_size, first, scale)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Destinations, step sizes, first log-probabilities and factors of the step size."""
        return self.destinations, self._step_size, self._first, self._scale

    def with_tensors(self, *tensors: Tensor) -> TowardImage:
        """See :class:`~lightning_leaf.paths.goal.Goal`."""
        destinations, step_size, first, scale = tensors
        return TowardImage(
            self._classifier, self._max_kl, self._bounds, destinations, step_size, first, scale
        )

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the distance to the destination, and the next point across the leaves."""
        self._first.copy_(torch.where(self._first.isnan(), log_probs, self._first))
        u = (self.destinations - x).flatten(1).double()
        distance, change = norms(u), self._change(log_probs)
        target, across, back = self._step(x, u, change, projector, None)
        barrier = torch.zeros_like(distance)
        if self._bounds is not None:
            leads_on = norms(across) > 0
            domain = Domain(x, self._bounds)
            for _ in range(ROUNDS):
                free = domain.exclude(across + back)
                target, across, back = self._step(x, u, change, projector, free)
            barrier = torch.where(leads_on & (norms(across) == 0), DOMAIN, barrier)
        shorter = advanced(x, SHORTER * across + back, torch.ones_like(distance))
        full_is_within, shorter_is_within = self._is_within(x, target), self._is_within(x, shorter)
        chosen = torch.where(full_is_within.unsqueeze(1), target, shorter)
        blocked = ~(full_is_within | shorter_is_within)
        chosen = torch.where(blocked.unsqueeze(1), x.flatten(1).double(), chosen)
        barrier = torch.where(blocked, PREDICTION, barrier)
        factor = torch.where(full_is_within, LONGER, SHORTER)
        self._scale.copy_((self._scale * factor).clamp(max=1))
        return Move(distance, chosen, barrier)

    def _change(self, log_probs: Tensor) -> Tensor:  # (n, C) -> (n, C)
        """Return the change of 2√p that leads back to the ball around that of the start."""
        likelihood = self._classifier.likelihood
        change = sphere_coordinates(self._first, likelihood) - sphere_coordinates(
            log_probs, likelihood
        )
        radius = min(FREE_RADIUS * (2 * self._max_kl) ** 0.5, LARGEST)  # max_kl may be infinite
        excess: Tensor = (1 - radius / norms(change).clamp_min(radius)).unsqueeze(1)
        return excess * change

    def _step(
        self, x: Tensor, u: Tensor, change: Tensor, projector: Projector, free: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:  # (n, d) each
        """Return the next point, the step across the leaves and the correction."""
        v = projector.reject(u, free)
        # A remainder as small as the error of the projection is no direction: u is tangent.
        norm = norms(v)
        norm = torch.where(norm > projector.error * norms(u), norm, torch.inf)
        size = self._step_size * self._scale
        across = v * (size / norm).clamp(max=1).unsqueeze(1)
        back, _ = projector.lift(change, DAMPING, free)
        back = back * (self._step_size / norms(back)).clamp(max=1).unsqueeze(1)
        return advanced(x, across + back, torch.ones_like(size)), across, back

    def _is_within(self, x: Tensor, target: Tensor) -> Tensor:  # (n, ...), (n, d) -> (n,)
        """Return whether the prediction at the next point is within the bound."""
        following = target.reshape(x.shape).to(x.dtype)
        if self._bounds is not None:
            following = following.clamp(*self._bounds)
        with torch.no_grad():
            log_probs = self._classifier.log_probs(self._classifier(following))
        kl = kl_divergence(self._first, log_probs, self._classifier.likelihood)
        # A point that is not finite ends the path there.
        return ~(kl > (1 - MARGIN) * self._max_kl)
