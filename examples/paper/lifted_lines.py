"""Lifts of the predictions on straight lines between images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.paper.experiment import Found, Table
from examples.paper.walked import log_probs, norm, parts_of_rest
from lightning_leaf import LeafPath, fisher_rao_distance, prediction_path

PLACES = 17
"""Predictions on the straight line that the lift passes through."""


def lifted(network: nn.Module, start: Tensor, end: Tensor) -> Found:
    """Lift the predictions on the straight lines; measure where the lifts end."""
    places = torch.linspace(0, 1, PLACES)[1:].reshape(-1, *[1] * start.ndim)
    images = start + places * (end - start)  # (T, N, ...)
    log_p = log_probs(network, images.flatten(0, 1)).reshape(len(places), len(start), -1)
    paths = prediction_path(network, start, log_p[-1].exp(), through=[*log_p[:-1].exp()])
    last = torch.stack([path.points[-1] for path in paths])
    line, moved = (end - start).flatten(1).double(), (last - start).flatten(1).double()
    along = (line * moved).sum(1) / norm(line).square()
    tangent, _ = parts_of_rest(network, last, end)
    reached = log_probs(network, last)
    return {
        "reached": share_with(paths, "reached"),
        "blocked": share_with(paths, "blocked"),
        "prediction": fisher_rao_distance(reached, log_p[-1]),
        "same_label": (reached.argmax(1) == log_p[-1].argmax(1)).double(),
        "left": norm(end - last) / norm(line),
        "along": along,
        "beside": norm(moved - along.unsqueeze(1) * line) / norm(line),
        "in_d": tangent / norm(end - last),
        "steps": paths.steps.double(),
        # A lift without a step, between equal predictions, is horizontal.
        "horizontality": torch.stack([path.horizontality.nanmean() for path in paths]).nan_to_num(
            1
        ),
        "last": last,
    }


def share_with(paths: LeafPath, status: str) -> Tensor:  # (N,)
    return torch.tensor([float(path.status == status) for path in paths], dtype=torch.float64)


def lifts_table(found: list[Found]) -> Table:
    """Return the measurements of the lifts, as medians over all pairs."""
    names = {
        "steps": "steps",
        "prediction": "Fisher–Rao distance from the prediction of the destination",
        "left": "remaining share of the distance",
        "along": "moved along the line",
        "beside": "moved beside the line",
        "in_d": "share of the rest in D",
    }
    rows = []
    for key, title in names.items():
        values = torch.cat([one[key] for one in found])
        low, middle, high = (float(values.quantile(q)) for q in (0.1, 0.5, 0.9))
        rows.append((title, *(f"{value:.3g}" for value in (low, middle, high))))
    columns = ("lift of the straight line", "first decile", "median", "last decile")
    return Table("Lifts of the straight lines", columns, tuple(rows))
