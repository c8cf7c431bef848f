"""The images beside the curves of a map of paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from lightning_leaf.data.normalization import input_bounds
from lightning_leaf.drawing.frames import Frames, frames_of, shared_scale
from lightning_leaf.drawing.map_scene import PlacedCurve, Scene
from lightning_leaf.drawing.placement import (
    SPACING,
    Box,
    Points,
    around,
    in_a_row,
    place_pictures,
    shorten,
)
from lightning_leaf.drawing.predictions import predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_SIDE = 128
"""Largest side of an image, in pixels; larger images are scaled down."""
CAPTION, LETTER = 0.18, 0.072
"""Height of the caption of an image, and width of a letter, in inches."""
LETTERS = 16
"""Largest number of letters of a caption."""


def draw_pictures(panel: Axes, scene: Scene, names: Sequence[str], taken: Sequence[Box]) -> None:
    """Draw the images of all paths, with lines to their predictions, which are written below.

    Args:
        panel: Where to draw.
        scene: The map.
        names: Names of the classes.
        taken: Boxes that images should not cover.
    """
    anchors = [curve.points[curve.chosen.frame_rows.numpy()] for curve in scene.curves]
    captions = [_captions(curve, names) for curve in scene.curves]
    centres = _centres(
        scene, anchors, max(len(text) for texts in captions for text in texts), taken
    )
    for curve, starts, places, texts in zip(scene.curves, anchors, centres, captions, strict=True):
        for start, (x, y), text, frame, row in zip(
            starts,
            places,
            texts,
            _frames(scene, curve),
            curve.chosen.frame_rows.tolist(),
            strict=True,
        ):
            panel.plot([start[0], x], [start[1], y], color="0.55", lw=0.7, zorder=2)
            low = y - 0.5 * (scene.side - CAPTION)
            _draw_image(panel, frame, (x - 0.5 * scene.side, low), scene.side, curve.colours[row])
            panel.text(x, low - 0.03, text, fontsize=8, ha="center", va="top", zorder=12)


def _captions(curve: PlacedCurve, names: Sequence[str]) -> list[str]:
    chosen = curve.chosen
    texts, p = predictions(chosen.log_probs[chosen.frame_rows], chosen.path.likelihood, names)
    return [
        shorten(text, LETTERS) if math.isnan(value) else f"{shorten(text, LETTERS)}: {value:.2f}"
        for text, value in zip(texts, p.tolist(), strict=True)
    ]


def _centres(
    scene: Scene, anchors: Sequence[Points], letters: int, taken: Sequence[Box]
) -> list[Points]:
    """Return the centre of each image with its caption."""
    side = scene.side
    width = max(side, LETTER * letters) + 0.06
    if scene.lanes:  # above the line of each path
        return [
            np.stack([in_a_row(each[:, 0], width, scene.size[0]), each[:, 1] + 0.5 * side + 0.3], 1)
            for each in anchors
        ]
    lines = np.concatenate([_dense(curve.points) for curve in scene.curves])
    ends = [around(curve.points[i], 0.12) for curve in scene.curves for i in (0, -1)]
    size = (width, side + CAPTION + 0.06)
    together = place_pictures(np.concatenate(anchors), size, lines, scene.size, [*taken, *ends])
    return np.split(together, np.cumsum([len(each) for each in anchors])[:-1])


def _draw_image(
    panel: Axes, frame: Frames, corner: tuple[float, float], side: float, colour: str
) -> None:
    """Draw an image in a square of which the lower left corner is given."""
    height, width = (side * each / max(frame.shape[:2]) for each in frame.shape[:2])
    left, low = corner[0] + 0.5 * (side - width), corner[1] + 0.5 * (side - height)
    extent = (left, left + width, low, low + height)
    panel.imshow(
        frame, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest", zorder=11
    )
    xs, ys = np.array(extent)[[0, 1, 1, 0, 0]], np.array(extent)[[2, 2, 3, 3, 2]]
    panel.plot(xs, ys, color=colour, lw=1.5, zorder=12)


def _frames(scene: Scene, curve: PlacedCurve) -> Frames:
    """Return the images of a path, on the scale of all paths."""
    path = curve.chosen.path
    channel_axis = None if path.normalization is None else path.normalization.axis
    points = path.points[curve.chosen.frames]
    if len(points) == 0:
        return np.zeros(0)
    if path.normalization is None:
        every = torch.cat([each.chosen.path.points for each in scene.curves])
        bounds = shared_scale(every, None)
    else:
        bounds = input_bounds(points, path.normalization, None)
    return frames_of(points, bounds, LARGEST_SIDE, channel_axis)


def _dense(points: Points) -> Points:
    """Return points of a curve at distances of at most ``SPACING``."""
    parts = [points[-1:]]
    for a, b in pairwise(points):
        count = int(np.ceil(np.linalg.norm(b - a) / SPACING)) + 1
        parts.append(a + (b - a) * np.linspace(0, 1, count, endpoint=False)[:, None])
    return np.concatenate(parts)
