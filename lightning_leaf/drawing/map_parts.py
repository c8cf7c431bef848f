"""The parts of a map of paths: corners, edges, curves, and the legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_leaf.drawing.map_scene import LETTER, PlacedCurve, Scene
from lightning_leaf.drawing.placement import Box, Points, around

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARE_BEFORE = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}


def draw_corners(panel: Axes, scene: Scene) -> list[Box]:
    """Draw the corners with their names. Returns the boxes that they take."""
    boxes = []
    middle = _middle(scene)
    for corner, name, colour in zip(
        scene.corners, scene.corner_names, scene.corner_colours, strict=True
    ):
        away = (corner - middle) / max(float(np.linalg.norm(corner - middle)), 1e-9)
        horizontal = "left" if away[0] > 0.3 else "right" if away[0] < -0.3 else "center"
        vertical = "bottom" if away[1] > 0.3 else "top" if away[1] < -0.3 else "center"
        for x, y in _copies(corner, scene):
            panel.plot(x, y, "D", color=colour, ms=8, zorder=5)
            x, y = x + 0.2 * away[0], y + 0.2 * away[1]
            panel.text(x, y, name, weight="bold", ha=horizontal, va=vertical, zorder=6)
        width, height = LETTER * len(name), 0.2
        left = x - width * _SHARE_BEFORE[horizontal]
        low = y - height * _SHARE_BEFORE[vertical]
        boxes.append((left, low, left + width, low + height))
        boxes.append(around(corner, 0.1))
    return boxes


def draw_edges(panel: Axes, scene: Scene) -> None:
    """Draw the edges of the map, and dashed lines between the regions of the corners."""
    look: dict[str, Any] = {"color": "0.5", "alpha": 0.4, "lw": 1, "zorder": 1}
    for edge in scene.edges:
        between = edge[len(edge) // 2]
        if scene.lanes:
            for curve in scene.curves:
                panel.plot(edge[:, 0], np.full(len(edge), curve.points[0, 1]), **look)
            panel.plot([between[0]] * 2, [0, scene.size[1]], ls="--", **look)
        else:
            panel.plot(*edge.T, **look)
            panel.plot(*np.stack([_middle(scene), between]).T, ls="--", **look)


def draw_curves(panel: Axes, scene: Scene) -> None:
    """Draw the paths in the colours of their predictions, with starts, ends and targets.

    The number of a path is in both markers, unless several paths have the same start.
    """
    starts = np.stack([curve.points[0] for curve in scene.curves])
    for curve in scene.curves:
        near = np.linalg.norm(starts - curve.points[0], axis=1) < 0.15
        number = str(curve.chosen.number) if len(scene.curves) > 1 else ""
        _draw_curve(panel, curve, "" if near.sum() > 1 else number, number)


def _draw_curve(panel: Axes, curve: PlacedCurve, first: str, last: str) -> None:
    from matplotlib import rcParams
    from matplotlib.collections import LineCollection

    points, colours = curve.points, curve.colours
    middles = 0.5 * (points[1:] + points[:-1])
    halves = np.concatenate(
        [np.stack([points[:-1], middles], 1), np.stack([middles, points[1:]], 1)]
    )
    lines: Any = LineCollection(
        list(halves), colors=colours[:-1] + colours[1:], linewidths=2.2, zorder=3
    )
    lines.set_capstyle("round")
    panel.add_collection(lines)
    ink = rcParams["text.color"]
    if curve.target is not None:
        panel.plot(*curve.target, "x", color=ink, ms=11, mew=1.5, zorder=7)
    for row, text, marker, size, order in ((-1, last, "s", 9, 8), (0, first, "o", 11, 9)):
        x, y = points[row]
        panel.plot(x, y, marker, color=colours[row], mec=ink, ms=size, zorder=order)
        panel.text(
            x, y, text, color="white", fontsize="x-small", weight="bold",
            ha="center", va="center_baseline", zorder=order,
        )  # fmt: skip


def draw_legend(panel: Axes, scene: Scene) -> None:
    """Draw the legend and the scale."""
    from matplotlib import rcParams
    from matplotlib.lines import Line2D

    ink = rcParams["text.color"]
    look: dict[str, Any] = {"color": "0.5", "ls": "none"}
    handles = [
        Line2D([], [], marker="o", mec=ink, ms=9, label="start", **look),
        Line2D([], [], marker="s", mec=ink, ms=7, label="end", **look),
        Line2D([], [], marker="D", ms=7, label="the model is certain", **look),
    ]
    if any(curve.target is not None for curve in scene.curves):
        handles.insert(2, Line2D([], [], marker="x", ms=8, mew=1.5, label="target", **look))
    panel.legend(handles=handles, loc="lower left", ncols=4, frameon=False, fontsize="small")
    right = scene.size[0] - 0.3
    shown = next(value for value in (1, 0.5, 0.2, 0.1) if value * scene.unit < 3 or value == 0.1)
    left = right - shown * scene.unit
    panel.plot([left, right], [-0.28, -0.28], color=ink, lw=1.5)
    text = f"Fisher–Rao distance {shown:g} (the largest is {scene.largest:.2f})"
    panel.text(
        left - 0.1, -0.28, text, fontsize="small",
        ha="right", va="center",
    )  # fmt: skip


def _middle(scene: Scene) -> Points:  # (2,)
    """Return the prediction in which all corners are equally likely, or the middle of the page."""
    middle: Points = scene.corners.mean(0) if len(scene.edges) else 0.5 * np.array(scene.size)
    return middle


def _copies(corner: Points, scene: Scene) -> list[Points]:
    """Return the places at which a corner is drawn: once, or once for each path."""
    if not scene.lanes:
        return [corner]
    return [np.array([corner[0], curve.points[0, 1]]) for curve in scene.curves]
