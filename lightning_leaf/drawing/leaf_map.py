"""A map of paths: curves of predictions in the plane, with the inputs beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from lightning_leaf._arguments import whole_number
from lightning_leaf.drawing.layout import layout_of
from lightning_leaf.drawing.map_curves import MappablePath, map_curve, without_repeats
from lightning_leaf.drawing.map_parts import draw_corners, draw_curves, draw_edges, draw_legend
from lightning_leaf.drawing.map_pictures import draw_pictures
from lightning_leaf.drawing.map_scene import MakeChart, Scene, place
from lightning_leaf.drawing.plotting import KIND_NAMES, ends_of, names_of_classes, new_figure
from lightning_leaf.drawing.titles import STATUS_WORDS
from lightning_leaf.errors import LeafError, NonFiniteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS_SHOWN = 480
"""Largest number of predictions of all paths on a map, without those of the images."""
IMAGES_SHOWN = 20
"""Number of images of all paths on a map, if it is not given."""
FOOT = 0.5
"""Height of the legend below the map, in inches."""
EXACT = 1e-6
"""Distances with a smaller relative error are exact."""
LINE = 128
"""Largest number of letters in a line of the title."""
MOST_PATHS, MOST_IMAGES, MOST_IN_TOTAL = 64, 16, 128
"""Largest number of paths on a map, of images of each, and of images of all."""


def plot_map(
    paths: Sequence[MappablePath],
    make_chart: MakeChart,
    *,
    classes: Sequence[str] | None = None,
    images: int | None = None,
) -> Figure:
    """Draw paths on a map of predictions, see :meth:`lightning_leaf.LeafPath.plot_map`.

    Args:
        paths: Paths whose inputs have the same shape.
        make_chart: :func:`~lightning_leaf.leaf_map`. It is an argument because drawing knows no
            geometry.
        classes: Names of the C classes. Default: their numbers.
        images: Largest number of images beside each path.

    Returns:
        A figure without a window: a notebook shows it, ``figure.savefig`` saves it.

    Raises:
        ValueError: If the number of names is not C.
        LeafError: If there are more than 64 paths, or ``images`` is no whole number from 0 to 16.
        NonFiniteError: If no prediction is finite.
        ModuleNotFoundError: If matplotlib is not installed.
    """
    if len(paths) > MOST_PATHS:
        raise LeafError(
            f"A map shows at most {MOST_PATHS} paths; got {len(paths)}. Plot some of them: "
            f"path[:{MOST_PATHS}].plot_map()."
        )
    names = names_of_classes(paths[0].log_probs.shape[-1], classes)
    shown = _images_of_each(paths, images)
    steps = max(8, STEPS_SHOWN // len(paths))
    found = [map_curve(path, steps, shown, number) for number, path in enumerate(paths)]
    curves = without_repeats([curve for curve in found if curve is not None])
    if not curves:
        raise NonFiniteError("plot_map expects a path with a finite prediction; all are NaN.")
    side = 0.0 if shown == 0 else 0.8 if len(curves) <= 2 else 0.7
    scene = place(curves, make_chart, names, side)
    title = _title(paths, scene, names)
    width, height = scene.size
    head = 0.23 * (title.count("\n") + 1) + 0.15
    figure = new_figure(width, height + FOOT + head)
    figure.set_layout_engine("none")  # everything has its place in inches
    figure.suptitle(
        title, x=0.01, y=1 - 0.1 / figure.get_figheight(), ha="left", va="top", fontsize="medium"
    )
    panel = figure.add_axes((0, 0, 1, (height + FOOT) / (height + FOOT + head)))
    panel.set_axis_off()
    draw_edges(panel, scene)
    taken = draw_corners(panel, scene)
    draw_curves(panel, scene)
    if side:
        draw_pictures(panel, scene, names, taken)
    draw_legend(panel, scene)
    panel.set(xlim=(0, width), ylim=(-FOOT, height), aspect="auto")
    return figure


def _images_of_each(paths: Sequence[MappablePath], images: int | None) -> int:
    """Return the number of images of a path, 0 for vectors and signals."""
    if images is not None:
        images = whole_number(images, "images", at_least=0, at_most=MOST_IMAGES)
    else:
        images = min(max(IMAGES_SHOWN // len(paths), 2), 8)
    is_image = layout_of(tuple(paths[0].points.shape[1:]), _channel_axis(paths[0])) is not None
    return min(images, MOST_IN_TOTAL // len(paths)) if is_image else 0


def _channel_axis(path: MappablePath) -> int | None:
    return None if path.normalization is None else path.normalization.axis


def _title(paths: Sequence[MappablePath], scene: Scene, names: Sequence[str]) -> str:
    """Return what the map shows, how to read it, and how far its distances can be trusted."""
    kind = KIND_NAMES[paths[0].kind]
    if len(paths) == 1:
        first = f"Map of a {kind}{ends_of(paths[0], names)}: {paths[0].describe()}"
    else:
        counts = Counter(str(path.status.value) for path in paths)
        ends = ", ".join(f"{count} {STATUS_WORDS[status]}" for status, count in counts.items())
        first = f"Map of {len(paths)} {kind}s ({ends})"
        missing = len(paths) - len(scene.curves)
        if missing:
            first += f", {missing} of which without a finite prediction are not shown"
    what = "class" if paths[0].likelihood == "categorical" else "set of labels"
    second = (
        "Each point is a prediction; predictions that differ more lie farther apart. "
        f"The colour is the predicted {what}."
    )
    if scene.distortion < EXACT:
        third = "Distances on the map are Fisher–Rao distances."
    else:
        percent = "less than 1" if scene.distortion < 0.01 else f"{100 * scene.distortion:.0f}"
        third = f"Distances on the map differ from Fisher–Rao distances by {percent} % (root mean "
        many = scene.distortion > 0.1
        third += "square): predictions that look close can be far apart." if many else "square)."
    return "\n".join(fill(line, LINE) for line in (first, second, third))
