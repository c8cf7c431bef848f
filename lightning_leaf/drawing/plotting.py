"""Figures with matplotlib, for notebooks and scripts. matplotlib is an optional dependency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization, input_bounds
from lightning_leaf.drawing.change import change_between
from lightning_leaf.drawing.classes_shown import most_probable_classes
from lightning_leaf.drawing.frames import Frames, frames_of, shared_scale
from lightning_leaf.drawing.layout import layout_of
from lightning_leaf.drawing.predictions import predictions, target_name
from lightning_leaf.model.likelihood import Likelihood

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRIP_FRAMES = 12
"""Largest number of points in the strip of a path."""
LETTERS = 16
"""Number of letters in a line below a point of the strip."""
LARGEST_SIDE = 256
"""Largest side of an image in the strip, in pixels; larger images are scaled down."""

KIND_NAMES = {
    "horizontal": "horizontal path",
    "orthogonal": "orthogonal walk",
    "prediction": "prediction path",
}
"""Name of a path of each kind."""


class PlottablePath(Protocol):
    """The attributes of a path that :func:`plot_paths` reads.

    :class:`~lightning_leaf.SinglePath` has them; T is the number of steps, F the number of points
    and C the number of classes.
    """

    @property
    def kind(self) -> str:
        """``"horizontal"``, ``"prediction"`` or ``"orthogonal"``."""

    @property
    def points(self) -> Tensor:
        """Points, ``(F, ...)``."""

    @property
    def point_steps(self) -> Tensor:
        """Step of every point, ``(F,)``."""

    @property
    def log_probs(self) -> Tensor:
        """Log-probabilities at every step, ``(T + 1, C)``."""

    @property
    def distance(self) -> Tensor:
        """Distance at every step, ``(T + 1,)``."""

    @property
    def horizontality(self) -> Tensor:
        """Horizontality of every step, ``(T,)``."""

    @property
    def end(self) -> Tensor | None:
        """Destination, ``(...)``, if there is one."""

    @property
    def threshold(self) -> float | None:
        """Distance that counts as reached; read for prediction paths only."""

    @property
    def target(self) -> Tensor | None:
        """Probabilities asked for, ``(C,)``; read for prediction paths only."""

    @property
    def normalization(self) -> Normalization | None:
        """The map from pixels to inputs, if it is known."""

    @property
    def likelihood(self) -> Likelihood:
        """``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels."""

    def describe(self) -> str:
        """Return one sentence about the path."""


def plot_paths(paths: Sequence[PlottablePath], *, classes: Sequence[str] | None = None) -> Figure:
    """Plot each path in a row: strip of points, class probabilities, distance, horizontality.

    All images of a path share one scale: valid pixels if the normalization is known, else the
    smallest to the largest value of the path. The last image of a prediction path is the change of
    the input: red where values are higher at the end, blue where they are lower. Videos and volumes
    are shown as slices. For independent labels, the labels with p > ½ are written below each point.

    Args:
        paths: One or more paths whose inputs have the same shape, such as a
            :class:`~lightning_leaf.LeafPath`.
        classes: Names of the C classes. Default: their numbers.

    Returns:
        A figure without a window: a notebook shows it, ``figure.savefig`` saves it.

    Raises:
        ValueError: If the number of names is not C.
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure = new_figure(width=15, height=4.2 * len(paths))
    for part, path in zip(_rows(figure, len(paths)), paths, strict=True):
        names = names_of_classes(path.log_probs.shape[-1], classes)
        title = f"{KIND_NAMES[path.kind]}{ends_of(path, names)}: {path.describe()}"
        layout = layout_of(path.points.shape[1:], _channel_axis(path))
        note = "" if layout is None else layout.note
        part.suptitle("\n".join(filter(None, (title, note))), x=0.01, ha="left", fontsize="medium")
        strip, curves = part.subfigures(2, 1, height_ratios=[1, 2])
        _draw_strip(strip, path, names)
        left, right = curves.subplots(1, 2)
        _draw_probabilities(left, path, names)
        _draw_distance(right, path)
    return figure


def plot_history(history: Mapping[str, Sequence[float]], *, reference: float | None) -> Figure:
    """Plot a training: trace (log scale, with its reference), effective ranks, tangent dimension.

    Args:
        history: Series over ``"step"``: ``"trace_mean"``, ``"trace_median"``,
            ``"effective_rank_<kind>"`` and ``"tangent_dimension"``.
        reference: The trace at the start of the training, drawn as a line; None for no line.

    Returns:
        A figure without a window: a notebook shows it, ``figure.savefig`` saves it.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure = new_figure(width=15, height=3.6)
    trace, rank, dimension = figure.subplots(1, 3)
    steps = history["step"]
    for statistic in ("median", "mean"):
        trace.plot(steps, history[f"trace_{statistic}"], label=statistic)
    if reference is not None:
        trace.axhline(reference, color="grey", linestyle="--", label="initial value")
    # matplotlib warns about a log scale without positive values, as in a run with NaN only.
    if any(value > 0 for value in history["trace_mean"]):
        trace.set_yscale("log")
    trace.set(title="Trace of the local data matrix", xlabel="optimizer step")
    trace.legend()
    prefix = "effective_rank_"
    for key, values in history.items():
        if key.startswith(prefix):
            rank.plot(steps, values, label=key.removeprefix(prefix))
    rank.set(title="Effective rank", xlabel="optimizer step")
    if rank.lines:
        rank.legend()
    dimension.plot(steps, history["tangent_dimension"])
    dimension.set(title="Tangent dimension", xlabel="optimizer step")
    dimension.set_ylim(bottom=0)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which notebooks show.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    try:
        from lightning_leaf.drawing.notebook_figure import NotebookFigure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Plotting needs matplotlib, which is not installed. Run: "
            'python -m pip install "lightning-leaf[plot]"'
        ) from error
    return NotebookFigure(figsize=(width, height), layout="constrained")


def _rows(figure: Figure, count: int) -> list[Any]:
    rows = figure.subfigures(count, 1, squeeze=False)
    return list(rows[:, 0])


def names_of_classes(count: int, classes: Sequence[str] | None) -> list[str]:
    """Return one name for each class, their numbers by default.

    Args:
        count: Number of classes.
        classes: Names of the classes.

    Raises:
        ValueError: If the number of names is not ``count``.
    """
    if classes is None:
        return [str(label) for label in range(count)]
    if len(classes) != count:
        raise ValueError(f"classes expects {count} names, one per class; got {len(classes)}.")
    return [str(name) for name in classes]


def ends_of(path: PlottablePath, names: Sequence[str]) -> str:
    """Return the predicted class and the target class of a prediction path; empty for others."""
    if path.kind != "prediction" or path.target is None:
        return ""
    (first,), _ = predictions(path.log_probs[:1], path.likelihood, names)
    return f" {first} → {target_name(path.target, path.log_probs[0], path.likelihood, names)}"


def _channel_axis(path: PlottablePath) -> int | None:
    return None if path.normalization is None else path.normalization.axis


def _draw_strip(figure: Any, path: PlottablePath, names: Sequence[str]) -> None:
    count = min(STRIP_FRAMES, len(path.points))
    chosen = torch.linspace(0, len(path.points) - 1, count).round().long()
    steps = path.point_steps[chosen]
    texts, probabilities = predictions(path.log_probs[steps], path.likelihood, names)
    captions = [
        f"{fill(text, LETTERS) if math.isnan(p) else f'p({text}) = {p:.2f}'}\nstep {step}"
        for text, p, step in zip(texts, probabilities.tolist(), steps.tolist(), strict=True)
    ]
    if path.end is not None:
        captions.append("destination")
    has_change = path.kind == "prediction"
    panels = figure.subplots(1, len(captions) + has_change, squeeze=False)[0]
    frames = _frames(path, chosen)
    for panel, frame, caption in zip(panels[: len(frames)], frames, captions, strict=True):
        _draw_frame(panel, frame)
        panel.set_xlabel(caption, fontsize="x-small")
    if has_change:
        _draw_change(panels[-1], path)


def _frames(path: PlottablePath, chosen: Tensor) -> Frames:
    """Return the chosen points, and the destination if there is one, as frames."""
    points = path.points[chosen]
    if path.end is not None:
        points = torch.cat([points, path.end.unsqueeze(0).to(points)])
    if path.normalization is None:
        bounds = shared_scale(path.points, path.end)
    else:
        bounds = input_bounds(points, path.normalization, None)
    return frames_of(points, bounds, LARGEST_SIDE, _channel_axis(path))


def _draw_frame(panel: Axes, frame: Frames) -> None:
    panel.set(xticks=[], yticks=[])
    if frame.dtype == np.uint8:
        panel.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        panel.plot(frame.T, linewidth=0.8)


def _draw_change(panel: Axes, path: PlottablePath) -> None:
    change = change_between(path.points[0], path.points[-1], LARGEST_SIDE, _channel_axis(path))
    panel.set(xticks=[], yticks=[])
    if change.is_image:
        panel.imshow(change.frame, interpolation="nearest")
        panel.set_xlabel(f"change: {change.text}\n(red is higher)", fontsize="x-small")
    else:
        panel.plot(change.frame.T, linewidth=0.8)
        panel.set_xlabel(f"change:\n{change.text}", fontsize="x-small")


def _draw_probabilities(panel: Axes, path: PlottablePath, names: Sequence[str]) -> None:
    p = path.log_probs.exp().numpy()  # (T + 1, C)
    for label in most_probable_classes(p):
        panel.plot(p[:, label], label=names[label])
    if path.likelihood == "bernoulli":
        panel.axhline(0.5, color="grey", linestyle="--", linewidth=0.8)
    of = "Class" if path.likelihood == "categorical" else "Label"
    panel.set(title=f"{of} probabilities", xlabel="path step", ylim=(-0.02, 1.02))
    panel.legend(fontsize="x-small", ncols=2, loc="upper right")


def _draw_distance(panel: Axes, path: PlottablePath) -> None:
    to_prediction = path.kind == "prediction"
    from_start = path.end is None and not to_prediction
    other = "to the target" if to_prediction else "to the destination"
    end = "from the start" if from_start else other
    (distance,) = panel.plot(path.distance.numpy(), label=f"distance {end}")
    handles = [distance]
    if to_prediction and path.threshold is not None:
        handles.append(
            panel.axhline(
                path.threshold, color="grey", linestyle="--", linewidth=0.8, label="tolerance"
            )
        )
    panel.set(
        title=f"{'Fisher–Rao distance' if to_prediction else 'Distance'} and horizontality",
        xlabel="path step",
        ylabel="distance (radians)" if to_prediction else "distance (input units)",
    )
    panel.set_ylim(bottom=0)
    right = panel.twinx()
    (horizontality,) = right.plot(
        path.horizontality.numpy(), color="grey", linewidth=0.8, label="horizontality"
    )
    right.set(ylim=(-0.02, 1.02), ylabel="horizontality")
    handles.append(horizontality)
    # The distance from the start rises, the distance to an end falls.
    if from_start:
        panel.legend(handles=handles, fontsize="x-small", loc="upper left")
    else:
        panel.legend(handles=handles, fontsize="x-small", loc="lower left")
