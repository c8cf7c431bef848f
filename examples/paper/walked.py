"""Measurements of paths, the same for all kinds of paths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.paper.experiment import Found
from lightning_leaf import (
    LeafPath,
    LocalDataMatrix,
    PathStatus,
    fisher_rao_distance,
    fisher_rao_length,
)

PLACES = 65
"""Points on a straight line; the same number as the points kept of a path."""
FRAMES = 9
EXAMPLES = 4


def summary(network: nn.Module, paths: LeafPath, destinations: Tensor) -> Found:
    """Summarise horizontal paths by numbers ``(N,)``, and return some paths to draw."""
    ends = torch.stack([path.points[-1] for path in paths])
    goal = log_probs(network, destinations)
    tangent, off = parts_of_rest(network, ends, destinations)
    rows = [_of_curve(path.log_probs) for path in paths]
    found: Found = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    found |= {
        "reached": _is(paths, PathStatus.REACHED),
        "stalled": _is(paths, PathStatus.STALLED),
        "steps": paths.steps.double(),
        "from": torch.stack([path.distance[0] for path in paths]),
        "left": torch.stack([path.distance[-1] for path in paths]),
        "left_tangent": tangent,
        "left_off": off,
        "horizontality": torch.stack([_mean_known(path.horizontality) for path in paths]),
        "arrives": (log_probs(network, ends).argmax(1) == goal.argmax(1)).double(),
        "differs": (paths.log_probs[:, 0].argmax(1) != goal.argmax(1)).double(),
    }
    found["frames"] = torch.stack([_frames(path.points) for path in paths[:EXAMPLES]])
    found["frame_labels"] = [
        _labels(path.log_probs[_frames(path.point_steps)]) for path in paths[:EXAMPLES]
    ]
    found["destinations"] = destinations[:EXAMPLES].clone()
    return found


def straight(network: nn.Module, start: Tensor, end: Tensor) -> Found:
    """Return the same numbers for straight lines."""
    places = torch.linspace(0, 1, PLACES).reshape(-1, *[1] * (start.ndim - 1))
    rows = [
        _of_curve(log_probs(network, x + places * (y - x))) for x, y in zip(start, end, strict=True)
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def parts_of_rest(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (N,) each
    """Return the lengths of the two parts of y − x: in D_x and orthogonal to it.

    Their squares add up to the square of the distance. The first part is greater than zero if the
    path ran out of steps or was clamped.
    """
    g = LocalDataMatrix.at(network, x)
    tangent = g.project(y - x)
    return norm(tangent), norm(y - x - tangent)


def entropy(log_p: Tensor) -> Tensor:  # (..., C) -> (...)
    """Return the entropy of a prediction, in nats."""
    log_p = log_p.double()
    return -(log_p.exp() * log_p).nan_to_num(0).sum(-1)


@torch.no_grad()
def log_probs(network: nn.Module, x: Tensor) -> Tensor:  # (N, ...) -> (N, C), float64
    return torch.cat([network(part).double().log_softmax(1) for part in torch.split(x, 200)])


def norm(v: Tensor) -> Tensor:  # (N, ...) -> (N,), float64
    length: Tensor = torch.linalg.vector_norm(v.flatten(1).double(), dim=1)
    return length


def _of_curve(log_p: Tensor) -> dict[str, Tensor]:  # (T, C)
    """Summarise the curve of predictions from start to end."""
    length = fisher_rao_length(log_p)[-1]
    bound = fisher_rao_distance(log_p[0], log_p[-1])
    labels = log_p.argmax(1)
    return {
        "entropy": entropy(log_p).max(),
        "doubt": log_p.exp().amax(1).min().double(),  # the least certain prediction of the path
        "length": length,
        "bound": bound,
        "labels": 1 + (labels[1:] != labels[:-1]).sum().double(),
    }


def _is(paths: LeafPath, status: PathStatus) -> Tensor:
    return torch.tensor([float(path.status is status) for path in paths], dtype=torch.float64)


def _mean_known(shares: Tensor) -> Tensor:
    return shares.nanmean() if len(shares) else torch.tensor(1.0, dtype=torch.float64)


def _frames(points: Tensor) -> Tensor:
    return points[torch.linspace(0, len(points) - 1, FRAMES).round().long()]


def _labels(log_p: Tensor) -> list[str]:  # (F, C)
    p = log_p.exp()
    return [f"{int(row.argmax())}  {float(row.max()):.2f}" for row in p]
