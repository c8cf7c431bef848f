"""Free places for pictures beside curves: a greedy choice among places around each anchor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DIRECTIONS = 16
"""Number of directions that are tried around an anchor."""
REACHES = (0.85, 1.1, 1.45, 1.9, 2.5)
"""Distances from the anchor that are tried, relative to the larger side of a picture."""

SPACING = 0.05
"""Distance of the points of curves, in inches."""
ROUNDS = 3

Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, bottom, right and top."""


def around(point: Points, reach: float) -> Box:
    """Return the square about a point whose sides are at the distance ``reach``."""
    x, y = point.tolist()
    return x - reach, y - reach, x + reach, y + reach


def shorten(text: str, letters: int) -> str:
    """Return a text of at most this number of letters.

    Example:
        >>> shorten("aeroplane", 20), shorten("aeroplane", 5)
        ('aeroplane', 'aero…')
    """
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def place_pictures(
    anchors: Points,  # (k, 2)
    size: tuple[float, float],
    curves: Points,  # (n, 2)
    area: tuple[float, float],
    taken: Sequence[Box] = (),
) -> Points:  # (k, 2)
    """Return the centre of a picture for each anchor, so that pictures cover little.

    The pictures are placed one after the other, in several rounds. Each takes the place with the
    lowest costs: overlap with other pictures, with texts and with the edge of the area costs most,
    then curves below the picture, then lines that cross other lines or pictures, then the distance.

    Args:
        anchors: The points to which the pictures belong.
        size: Width and height of a picture.
        curves: Points of all curves, at distances of :data:`SPACING`.
        area: Width and height of the area, whose lower left corner is (0, 0).
        taken: Boxes that pictures should not cover.
    """
    half = 0.5 * np.array(size)
    turns = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    rays = np.stack([np.cos(turns), np.sin(turns)], 1)
    offsets = np.concatenate([reach * max(size) * rays for reach in REACHES])  # (m, 2)
    reach = np.linalg.norm(offsets, axis=1) / max(size)
    texts = np.array(taken, dtype=float).reshape(-1, 4)
    count = len(anchors)
    lines = np.full((count, 2, 2), np.nan)  # from each anchor to its picture; NaN before
    fixed = [_fixed_costs(anchor + offsets, half, curves, area) for anchor in anchors]
    for _ in range(ROUNDS):
        for i, anchor in enumerate(anchors):
            tried = anchor + offsets
            others = lines[np.arange(count) != i]
            others = others[~np.isnan(others[:, 0, 0])]
            boxes = np.concatenate([others[:, 1] - half, others[:, 1] + half], 1)
            boxes = np.concatenate([boxes, texts])
            costs = (
                fixed[i]
                + 30 * _overlaps(tried - half, tried + half, boxes)
                + 1.2 * _crossings(anchor, tried, others)
                + 4 * _behind(anchor, tried, boxes)
                + 1.2 * _lines_below(tried, half, others)
                + 0.5 * reach
            )
            lines[i] = anchor, tried[costs.argmin()]
    return lines[:, 1]


def in_a_row(anchors: Points, width: float, total: float) -> Points:  # (k,) -> (k,)
    """Return the centre of a picture near each anchor, side by side without overlap.

    Args:
        anchors: The horizontal positions to which the pictures belong.
        width: Width of a picture.
        total: Width of the row, which begins at 0 and has enough room.
    """
    order = anchors.argsort()
    centres = anchors[order]
    steps = width * np.arange(len(centres))
    # Without overlap, the positions minus the steps do not decrease: their isotonic regression.
    shifts = np.maximum.accumulate(centres - steps)
    shifts = 0.5 * (shifts + np.minimum.accumulate((centres - steps)[::-1])[::-1])
    shifts = shifts.clip(0.5 * width, max(0.5 * width, total - 0.5 * width - steps[-1:].sum()))
    result: Points = np.empty_like(centres)
    result[order] = shifts + steps
    return result


def _fixed_costs(
    tried: Points,  # (m, 2)
    half: Points,
    curves: Points,  # (n, 2)
    area: tuple[float, float],
) -> Points:  # (m,)
    """Return the costs that do not depend on other pictures."""
    low, high = tried - half, tried + half
    outside = np.maximum(-low, 0).sum(1) + np.maximum(high - np.array(area), 0).sum(1)
    below = (np.abs(tried[:, None] - curves) < half + SPACING).all(2)  # (m, n)
    hidden = below.sum(1)
    costs: Points = 1e3 * outside + 5 * SPACING * hidden
    return costs


def _overlaps(low: Points, high: Points, boxes: Points) -> Points:  # (m, 2), (b, 4) -> (m,)
    """Return how much of each box others cover: the share of its area, and 0.1 for each other."""
    shared = np.minimum(high[:, None], boxes[:, 2:]) - np.maximum(low[:, None], boxes[:, :2])
    areas = shared.clip(0).prod(2)  # (m, b)
    covered: Points = areas.sum(1) / (high - low).prod(1) + 0.1 * (areas > 0).sum(1)
    return covered


def _behind(anchor: Points, ends: Points, boxes: Points) -> Points:  # (m, 2), (b, 4) -> (m,)
    """Return the share of the line from the anchor to each end that boxes cover."""
    way = np.linspace(0, 1, 9)[1:, None, None]
    points = anchor + way * (ends - anchor)  # (8, m, 2)
    inside = (points[:, :, None] > boxes[:, :2]) & (points[:, :, None] < boxes[:, 2:])
    share: Points = inside.all(-1).any(-1).mean(0)
    return share


def _lines_below(tried: Points, half: Points, lines: Points) -> Points:  # (m, 2), (b, 2, 2)
    """Return the number of lines of others below a picture at each place, ``(m,)``."""
    way = np.linspace(0, 1, 9)[:, None, None]
    points = lines[:, 0] + way * (lines[:, 1] - lines[:, 0])  # (9, b, 2)
    inside = (np.abs(points[:, :, None] - tried) < half).all(-1)  # (9, b, m)
    below: Points = inside.any(0).sum(0)
    return below


def _crossings(anchor: Points, ends: Points, lines: Points) -> Points:  # (m, 2), (b, 2, 2) -> (m,)
    """Return the number of lines that the line from the anchor to each end crosses."""
    first, last = lines[:, 0], lines[:, 1]  # (b, 2)
    sides = _side(anchor, ends[:, None], first) * _side(anchor, ends[:, None], last)  # (m, b)
    others = _side(first, last, anchor) * _side(first, last, ends[:, None])  # (m, b)
    crossed: Points = ((sides < 0) & (others < 0)).sum(1)
    return crossed


def _side(a: Points, b: Points, c: Points) -> Points:
    """Return a number whose sign says on which side of the line from a to b the point c lies."""
    u, v = b - a, c - a
    side: Points = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return side
