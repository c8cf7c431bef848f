"""The published arithmetic, batched, and the loops in which it is compared with exact projections.

Reimplemented from its description. The library does not use it: it projects on D_x and on one
additional direction, which consists of rounding noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from examples.paper.walked import log_probs, norm
from lightning_leaf import LocalDataMatrix

CHUNK = 50
Project = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Project vectors ``(n, d)`` at points ``(n, ...)``; the projections are ``(n, d)``."""


def published_projection(network: nn.Module, x: Tensor, v: Tensor) -> Tensor:
    """Project by least squares in the normalized columns ∇ log p_i, assumed to be independent.

    They are dependent: Σ p_i ∇ log p_i = 0. The driver ``gels`` (the only one on CUDA) divides by
    the rounding error in the missing direction.
    """
    columns = torch.nn.functional.normalize(score_gradients(network, x), dim=2).mT  # (n, d, C)
    try:
        solution: Tensor = torch.linalg.lstsq(columns, v.unsqueeze(2), driver="gels").solution
    except RuntimeError:  # one column of one path is exactly zero
        return torch.cat([_one(a, b) for a, b in zip(columns, v, strict=True)])
    return (columns @ solution).squeeze(2)


def _one(columns: Tensor, v: Tensor) -> Tensor:  # (d, C), (d,) -> (1, d)
    try:
        solution: Tensor = torch.linalg.lstsq(columns, v.unsqueeze(1), driver="gels").solution
    except RuntimeError:
        return torch.zeros_like(v).unsqueeze(0)
    return (columns @ solution).T


def score_gradients(network: nn.Module, x: Tensor) -> Tensor:  # (n, ...) -> (n, C, d)
    """Compute ∇ log p_i in the precision of the network, by one backward pass per class."""
    x = x.detach().requires_grad_()
    log_p = network(x).log_softmax(1)
    rows = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0] for one in log_p.unbind(1)]
    return torch.stack(rows, dim=1).flatten(2)


def exact_projection(network: nn.Module, x: Tensor, v: Tensor) -> Tensor:
    return LocalDataMatrix.at(network, x, chunk_size=len(x)).project(v)


def with_random_direction(seed: int) -> Project:
    """Project exactly on D and on one random direction orthogonal to D, new at every step."""
    generator = torch.Generator().manual_seed(seed)

    def project(network: nn.Module, x: Tensor, v: Tensor) -> Tensor:
        g = LocalDataMatrix.at(network, x, chunk_size=len(x))
        random = g.reject(torch.randn(v.shape, generator=generator))
        random = torch.nn.functional.normalize(random, dim=1)
        return g.project(v) + (random * v).sum(1, keepdim=True) * random

    return project


@dataclass(frozen=True)
class Descent:
    """Paths by Algorithm 1 with a given projection; T − 1 is the number of steps over ``every``.

    Attributes:
        step: Path steps of the measurements, ``(T,)``.
        distance: Distance to the destination, ``(N, T)``.
        horizontality: Share of the step in the exact tangent distribution, ``(N, T − 1)``.
        gain: Decrease of the distance by the step, to first order, ``(N, 2, T − 1)``: by its part
            in the exact tangent distribution and by the other part.
        points: Last points, ``(N, ...)``.
    """

    step: list[int]
    distance: Tensor
    horizontality: Tensor
    gain: Tensor
    points: Tensor


def descend(
    network: nn.Module,
    start: Tensor,  # (N, ...)
    end: Tensor,  # (N, ...)
    project: Project,
    *,
    step_size: float,
    threshold: float,
    steps: int,
    every: int,
    title: str,
) -> Descent:
    """Take steps of equal length along the projected displacement, up to the threshold."""
    parts = []
    with tqdm(total=steps * len(start), desc=title, disable=None, leave=False) as bar:
        for x, y in zip(torch.split(start, CHUNK), torch.split(end, CHUNK), strict=True):
            distances, shares, gains = [norm(y - x)], [], []
            for step in range(1, steps + 1):
                rest = (y - x).flatten(1)
                v = project(network, x, rest)
                v = step_size * torch.nn.functional.normalize(v, dim=1)
                v[norm(rest) <= threshold] = 0
                if step % every == 0:
                    tangent = exact_projection(network, x, v)
                    shares.append(norm(tangent) / norm(v))
                    towards = torch.nn.functional.normalize(rest, dim=1)
                    parts_of_v = torch.stack([tangent, v - tangent], 1)  # (n, 2, d)
                    gains.append((parts_of_v @ towards.unsqueeze(2)).squeeze(2).double())
                x = x + v.reshape(x.shape)
                if step % every == 0:
                    distances.append(norm(y - x))
                bar.update(len(x))
            parts.append(
                (torch.stack(distances, 1), torch.stack(shares, 1), torch.stack(gains, 2), x)
            )
    distance, horizontality, gain, points = (torch.cat(part) for part in zip(*parts, strict=True))
    return Descent(list(range(0, steps + 1, every)), distance, horizontality, gain, points)


def walk_away(
    network: nn.Module,
    start: Tensor,  # (N, ...)
    direction: Tensor,  # (N, ...)
    bounds: tuple[Tensor, Tensor],
    *,
    orthogonal: bool,
    step_size: float,
    steps: list[int],
    title: str,
) -> tuple[Tensor, Tensor]:
    """Take steps along a direction, minus its projection on D if ``orthogonal``, and clamp each.

    Returns:
        Points ``(N, T, ...)`` and log-probabilities ``(N, T, C)`` at the given steps and at 0.
    """
    parts = []
    with tqdm(total=steps[-1] * len(start), desc=title, disable=None, leave=False) as bar:
        for x, r in zip(torch.split(start, CHUNK), torch.split(direction, CHUNK), strict=True):
            points = [x]
            for step in range(1, steps[-1] + 1):
                v = r
                if orthogonal:
                    v = LocalDataMatrix.at(network, x, chunk_size=len(x)).reject(r)
                v = step_size * torch.nn.functional.normalize(v.flatten(1), dim=1)
                x = (x + v.reshape(x.shape)).clamp(*bounds)
                if step in steps:
                    points.append(x)
                bar.update(len(x))
            parts.append(torch.stack(points, 1))
    points_of_all = torch.cat(parts)
    log_p = log_probs(network, points_of_all.flatten(0, 1))
    return points_of_all, log_p.reshape(*points_of_all.shape[:2], -1)
