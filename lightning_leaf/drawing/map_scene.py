"""The parts of a map of paths, placed on a page in inches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.drawing.map_curves import MapCurve
from lightning_leaf.drawing.placement import Points, shorten
from lightning_leaf.drawing.predictions import predicted_sets, predictions
from lightning_leaf.model.likelihood import Likelihood

WIDTH, LEAST_HEIGHT, LARGEST_HEIGHT = 10.0, 3.2, 8.5
"""Size of the area of a map, in inches."""
SMALLEST_WIDTH = 1.0
"""Least Fisher–Rao distance that the width of a map covers: it does not enlarge noise."""
LETTER, LETTERS = 0.11, 24
"""Width of a letter of a name, in inches, and largest number of letters."""
OTHER = "#bbbbbb"
"""Colour of predictions that have no corner."""


class Chart(Protocol):
    """A map of predictions; :class:`~lightning_leaf.LeafMap` has these attributes."""

    @property
    def positions(self) -> Tensor:
        """Positions of the predictions, ``(n, 2)``."""

    @property
    def corners(self) -> Tensor:
        """Certain predictions, ``(K, C)``, bool."""

    @property
    def corner_positions(self) -> Tensor:
        """Positions of the corners, ``(K, 2)``."""

    @property
    def edges(self) -> Tensor:
        """Curves between corners, ``(E, M, 2)``."""

    @property
    def distortion(self) -> float:
        """Typical relative error of a distance."""


MakeChart = Callable[[Tensor, Likelihood], Chart]
"""The function that maps log-probabilities ``(n, C)``: :func:`~lightning_leaf.leaf_map`."""


@dataclass(frozen=True)
class PlacedCurve:
    """A path on the page.

    Attributes:
        chosen: The steps and points shown.
        points: Position of each step, ``(S, 2)``.
        colours: Colour of the prediction at each step.
        target: Position of the prediction asked for, ``(2,)``, if there is one.
    """

    chosen: MapCurve
    points: Points
    colours: list[str]
    target: Points | None


@dataclass(frozen=True)
class Scene:
    """A map on the page. Positions are in inches from the lower left corner.

    Attributes:
        size: Width and height.
        unit: Length of the Fisher–Rao distance 1.
        side: Side of an image; 0 without images.
        curves: The paths.
        corners: Position of each corner, ``(K, 2)``.
        corner_names: What is predicted at each corner.
        corner_colours: Colour of each corner.
        edges: Curves between corners, ``(E, M, 2)``.
        lanes: Whether the map is one line, which is drawn once for each path.
        distortion: See :class:`Chart`.
        largest: The largest Fisher–Rao distance of two predictions.
    """

    size: tuple[float, float]
    unit: float
    side: float
    curves: list[PlacedCurve]
    corners: Points
    corner_names: list[str]
    corner_colours: list[str]
    edges: Points
    lanes: bool
    distortion: float
    largest: float


def place(
    curves: Sequence[MapCurve],
    make_chart: MakeChart,
    names: Sequence[str],
    side: float,
) -> Scene:
    """Compute the map of the chosen steps and place it on a page.

    Args:
        curves: The chosen steps of each path.
        make_chart: The function that computes the map.
        names: Names of the classes.
        side: Side of an image in inches; 0 without images.
    """
    likelihood = curves[0].path.likelihood
    targets = [curve.path.target for curve in curves]
    rows = [curve.log_probs for curve in curves]
    counts = [len(each) for each in rows]
    rows += [target.double().log()[None] for target in targets if target is not None]
    log_probs = torch.cat(rows)
    chart = make_chart(log_probs, likelihood)
    colours, corner_colours = _colours(log_probs, chart.corners, likelihood)

    lanes = len(chart.edges) == 1
    everything = torch.cat([chart.positions, chart.corner_positions, chart.edges.reshape(-1, 2)])
    low, high = everything.amin(0).numpy(), everything.amax(0).numpy()
    extent = np.maximum(high - low, 1e-9)
    texts, _ = predictions(chart.corners.double().log(), likelihood, names)
    texts = [shorten(text, LETTERS) for text in texts]
    margin = 0.55 + 1.1 * side
    at_sides = max(margin, 0.35 + LETTER * max(map(len, texts)))
    unit = (WIDTH - 2 * at_sides) / max(float(extent[0]), SMALLEST_WIDTH)
    if lanes:
        height = (side + 1.0) * len(curves)
    else:
        unit = min(unit, (LARGEST_HEIGHT - 2 * margin) / float(extent[1]))
        height = max(LEAST_HEIGHT, float(extent[1]) * unit + 2 * margin)
    shift = 0.5 * np.array([WIDTH, height]) - 0.5 * unit * (low + high)

    def on_page(positions: Tensor) -> Points:
        page: Points = unit * positions.numpy() + shift
        return page

    places = torch.split(chart.positions, [*counts, len(log_probs) - sum(counts)])
    ends = iter(places[-1])
    begins = np.cumsum([0, *counts]).tolist()
    placed = []
    for k, curve in enumerate(curves):
        points, target = on_page(places[k]), None
        if curve.path.target is not None:
            target = on_page(next(ends))
        if lanes:  # the first path is above
            middle = height * (1 - (k + 1) / len(curves)) + 0.35
            points[:, 1] = middle
            target = None if target is None else np.array([target[0], middle])
        placed.append(PlacedCurve(curve, points, colours[begins[k] : begins[k + 1]], target))
    return Scene(
        size=(WIDTH, height),
        unit=unit,
        side=side,
        curves=placed,
        corners=on_page(chart.corner_positions),
        corner_names=texts,
        corner_colours=corner_colours,
        edges=on_page(chart.edges),
        lanes=lanes,
        distortion=chart.distortion,
        largest=math.pi * (1 if likelihood == "categorical" else math.sqrt(log_probs.shape[1])),
    )


def _colours(
    log_probs: Tensor,  # (n, C)
    corners: Tensor,  # (K, C)
    likelihood: Likelihood,
) -> tuple[list[str], list[str]]:
    """Return the colour of each prediction, and of each corner: that of its class or labels."""
    both = torch.cat([log_probs, corners.double().log()])
    keys = predicted_sets(both, likelihood).tolist()
    of_corners = keys[len(log_probs) :]
    if likelihood == "categorical" and log_probs.shape[1] <= 10:
        colours = {key: f"C{key}" for key in of_corners}  # a class has the same colour in all maps
    else:
        colours = dict(zip(sorted(of_corners), _COLOURS, strict=False))
    return [colours.get(key, OTHER) for key in keys[: len(log_probs)]], [
        colours[key] for key in of_corners
    ]


_COLOURS = [
    *(f"C{i}" for i in range(10)),
    "#393b79", "#637939", "#8c6d31", "#843c39", "#7b4173",
    "#3182bd", "#e6550d", "#31a354", "#756bb1", "#222222",
]  # fmt: skip
"""Colours of at most 20 corners, all dark enough for white text."""
