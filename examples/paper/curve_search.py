"""Horizontal curves that search for a destination: random directions, annealing and loops.

Every curve is a sequence of straight steps, each of which lies in D at the point where it begins,
as the steps of Algorithm 1 do. All kinds compute D the same number of times. A curve that is not
constrained to D is the control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from examples.paper.walked import norm
from lightning_leaf import LocalDataMatrix
from lightning_leaf.geometry.tangent_space import TangentSpace

STEP = 1 / 16
"""Length of a step over the distance from start to destination."""
TEMPERATURES = (1 / 1000, 1 / 3200)
"""First and last temperature of annealing, over the distance from start to destination."""
TRIES = 10
"""Proposals of annealing at one point."""


@dataclass(frozen=True)
class Here:
    """The points of a batch of curves, ``(N, d)``, float64, and D at each of them."""

    x: Tensor
    space: TangentSpace

    def where(self, chosen: Tensor, other: Here) -> Here:  # (N,)
        """Return these points where chosen, the other ones elsewhere."""
        rows = torch.where(chosen[:, None, None], self.space.rows, other.space.rows)
        return Here(
            torch.where(chosen[:, None], self.x, other.x),
            type(self.space)(rows, self.space.rounding),
        )


class WholeSpace(TangentSpace):
    """All directions instead of D."""

    def project(self, v: Tensor) -> Tensor:
        return v


class Walker:
    """Takes steps in D, measures them and counts how often D is computed.

    Attributes:
        end: Destinations, ``(N, d)``, float64.
        evaluations: Number of points of a curve at which D was computed.
        horizontality: Share of a step in D at its first point, for every step tried, ``(N,)`` each.
        turned: Share of a step in D at its last point.
    """

    def __init__(
        self, network: nn.Module, start: Tensor, end: Tensor, seed: int, *, projected: bool = True
    ) -> None:
        self.end = end.flatten(1).double()
        self.evaluations = 0
        self.horizontality: list[Tensor] = []
        self.turned: list[Tensor] = []
        self._network = network
        self._shape = start.shape
        self._projected = projected
        self._generator = torch.Generator().manual_seed(seed)

    def at(self, x: Tensor) -> Here:  # (N, d)
        self.evaluations += 1
        if not self._projected:
            return Here(x, WholeSpace(x.unsqueeze(1)))
        images = x.reshape(self._shape).to(next(self._network.parameters()).dtype)
        return Here(x, LocalDataMatrix.at(self._network, images).tangent)

    def distance(self, here: Here) -> Tensor:  # (N,)
        return norm(self.end - here.x)

    def direction(self) -> Tensor:  # (N, d)
        return torch.randn(self.end.shape, generator=self._generator, dtype=torch.float64)

    def chance(self) -> Tensor:  # (N,)
        return torch.rand(len(self.end), generator=self._generator, dtype=torch.float64)

    def step(self, here: Here, v: Tensor) -> Here:
        """Move by v."""
        there = self.at(here.x + v)
        for space, shares in ((here.space, self.horizontality), (there.space, self.turned)):
            shares.append(norm(space.project(v)) / norm(v))  # NaN for a step of length zero
        return there

    def along(self, here: Here, direction: Tensor, length: Tensor, substeps: int) -> Here:
        """Walk a length along a direction, which is projected on D at every step."""
        for _ in range(substeps):
            here = self.step(here, resized(here.space.project(direction), length / substeps))
        return here

    def closer(self, here: Here, length: Tensor, substeps: int = 1) -> Here:
        """Take steps of Algorithm 1, together at most as long as the length."""
        for _ in range(substeps):
            v = here.space.project(self.end - here.x)
            here = self.step(here, resized(v, torch.minimum(length / substeps, norm(v))))
        return here


def resized(v: Tensor, length: Tensor) -> Tensor:  # (N, d), (N,) -> (N, d)
    """Return vectors of the given lengths; a vector of length zero stays zero."""
    return v * (length / norm(v).clamp_min(torch.finfo(v.dtype).tiny)).unsqueeze(1)


Curve = tuple[Here, list[Tensor]]
"""The last points of curves, and the distances ``(N,)`` after every round."""
Kind = Callable[[Walker, Here, Tensor, int], Curve]
"""Walk from points with steps of a length ``(N,)`` until D was computed at a number of points."""


def algorithm_1(walker: Walker, here: Here, length: Tensor, evaluations: int) -> Curve:
    """Take steps along the projected displacement."""
    distances = [walker.distance(here)]
    while walker.evaluations < evaluations:
        here = walker.closer(here, length)
        distances.append(walker.distance(here))
    return here, distances


def random_directions(substeps: int) -> Kind:
    """Take a step in a random direction of D, then one of Algorithm 1; keep both if closer."""

    def walk(walker: Walker, here: Here, length: Tensor, evaluations: int) -> Curve:
        distances = [walker.distance(here)]
        while walker.evaluations + 2 * substeps <= evaluations:
            there = walker.along(here, walker.direction(), length, substeps)
            there = walker.closer(there, length, substeps)
            here = there.where(walker.distance(there) < distances[-1], here)
            distances.append(walker.distance(here))
        return here, distances

    return walk


def annealing(walker: Walker, here: Here, length: Tensor, evaluations: int) -> Curve:
    """Take random steps in D, accepted by the rule of Metropolis at a temperature that falls.

    A step that changes the distance by Δ is accepted with the probability min(1, exp(−Δ / T)).
    """
    distances = [walker.distance(here)]
    first, last = TEMPERATURES
    scale = length / STEP
    rounds = max(1, evaluations - walker.evaluations)
    for i in range(rounds):
        temperature = first * (last / first) ** (i / rounds) * scale
        move = torch.zeros_like(here.x)
        waiting = torch.ones(len(move), dtype=torch.bool)
        for _ in range(TRIES):
            v = resized(here.space.project(walker.direction()), length)
            longer = norm(walker.end - here.x - v) - distances[-1]
            accepted = waiting & (walker.chance() < (-longer / temperature).exp())
            move = torch.where(accepted[:, None], v, move)
            waiting = waiting & ~accepted
        here = walker.step(here, move)
        distances.append(walker.distance(here))
    return here, distances


def loops(walker: Walker, here: Here, length: Tensor, evaluations: int) -> Curve:
    """Walk along +a, +b, −a, −b, for random a and b of D; keep the loop if it ends closer.

    A loop that ends closer is walked again. One that does not is walked in the other sense, then
    replaced by another loop.
    """
    distances = [walker.distance(here)]
    a, b = walker.direction(), walker.direction()
    failures = torch.zeros(len(a), dtype=torch.long)
    while walker.evaluations + 4 <= evaluations:
        one, other = sides(here, a, b)
        there = around(walker, here, one, other, length, 1)
        success = walker.distance(there) < distances[-1]
        here = there.where(success, here)
        distances.append(walker.distance(here))
        failures = torch.where(success, 0, failures + 1)
        new, swap = (failures > 1)[:, None], (failures == 1)[:, None]
        a, b = (
            torch.where(new, walker.direction(), torch.where(swap, other, one)),
            torch.where(new, walker.direction(), torch.where(swap, one, other)),
        )
        failures = failures % 2
    return here, distances


def sides(here: Here, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:  # (N, d) each
    """Return orthonormal vectors of D from random ones."""
    one = here.space.project(a)
    one = resized(one, torch.ones(len(a), dtype=one.dtype))
    other = here.space.project(b)
    other = other - (one * other).sum(1, keepdim=True) * one
    return one, resized(other, torch.ones(len(a), dtype=one.dtype))


def around(
    walker: Walker, here: Here, one: Tensor, other: Tensor, length: Tensor, substeps: int
) -> Here:
    """Walk along the four sides of a loop, each projected on D at every step."""
    for side in (one, other, -one, -other):
        here = walker.along(here, side, length, substeps)
    return here


def gaps_of_loops(network: nn.Module, x: Tensor, side: float, count: int, seed: int) -> Tensor:
    """Walk random loops from one image, in four steps a side.

    Args:
        x: The image, ``(1, ...)``.

    Returns:
        Their last points minus the image, ``(count, d)``.
    """
    copies = x.expand(count, *x.shape[1:])
    walker = Walker(network, copies, copies, seed)
    here = walker.at(copies.flatten(1).double())
    a, b = sides(here, walker.direction(), walker.direction())
    lengths = torch.full((count,), side, dtype=torch.float64)
    return around(walker, here, a, b, lengths, 4).x - here.x
