"""Figures with matplotlib, for notebooks and scripts. matplotlib is an optional dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.drawing.classes_shown import most_probable_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRIP_FRAMES = 12
"""Largest number of points in the strip of a path."""

KIND_NAMES = {"horizontal": "horizontal path", "orthogonal": "orthogonal walk"}
"""Name of a path of each kind."""


class PlottablePath(Protocol):
    """The attributes of a path that :func:`plot_paths` reads.

    :class:`~lightning_leaf.SinglePath` has them; T is the number of steps, F the number of points
    and C the number of classes.
    """

    @property
    def kind(self) -> str:
        """``"horizontal"`` or ``"orthogonal"``."""

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
    def normalization(self) -> Normalization | None:
        """The map from pixels to inputs, if it is known."""

    def describe(self) -> str:
        """Return one sentence about the path."""


def plot_paths(paths: Sequence[PlottablePath], *, classes: Sequence[str] | None = None) -> Figure:
    """Plot each path in a row: strip of points, class probabilities, distance, horizontality.

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
    figure = _figure(width=15, height=4.2 * len(paths))
    for part, path in zip(_rows(figure, len(paths)), paths, strict=True):
        names = _class_names(path, classes)
        title = f"{KIND_NAMES[path.kind]}: {path.describe()}"
        part.suptitle(title, x=0.01, ha="left", fontsize="medium")
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
    figure = _figure(width=15, height=3.6)
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


def _figure(width: float, height: float) -> Figure:
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


def _class_names(path: PlottablePath, classes: Sequence[str] | None) -> list[str]:
    count = path.log_probs.shape[-1]
    if classes is None:
        return [str(label) for label in range(count)]
    if len(classes) != count:
        raise ValueError(f"classes expects {count} names, one per class; got {len(classes)}.")
    return [str(name) for name in classes]


def _draw_strip(figure: Any, path: PlottablePath, names: Sequence[str]) -> None:
    chosen = torch.linspace(0, len(path.points) - 1, min(STRIP_FRAMES, len(path.points)))
    panels = figure.subplots(1, len(chosen) + (path.end is not None), squeeze=False)[0]
    for panel, i in zip(panels, chosen.round().long().tolist(), strict=False):
        step = int(path.point_steps[i])
        p = path.log_probs[step].exp()
        label = int(p.argmax())
        _draw_input(panel, path.points[i], path)
        panel.set_xlabel(f"{names[label]}  {float(p[label]):.2f}\nstep {step}", fontsize="x-small")
    if path.end is not None:
        _draw_input(panels[-1], path.end, path)
        panels[-1].set_xlabel("destination", fontsize="x-small")


def _draw_input(panel: Axes, x: Tensor, path: PlottablePath) -> None:
    panel.set(xticks=[], yticks=[])
    image = x.ndim == 2 or (x.ndim == 3 and x.shape[0] in (1, 3))
    if not image:
        panel.plot(x.reshape(-1, x.shape[-1]).T.numpy(), linewidth=0.8)
        return
    ends = torch.stack([path.points[0], *([] if path.end is None else [path.end])])
    if path.normalization is not None:
        pixels = path.normalization.to_pixels(x.unsqueeze(0))[0]
    else:
        pixels = (x - ends.min()) / (ends.max() - ends.min()).clamp_min(1e-12)
    pixels = pixels.clamp(0, 1)
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    panel.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _draw_probabilities(panel: Axes, path: PlottablePath, names: Sequence[str]) -> None:
    p = path.log_probs.exp().numpy()  # (T + 1, C)
    for label in most_probable_classes(p):
        panel.plot(p[:, label], label=names[label])
    panel.set(title="Class probabilities", xlabel="path step", ylim=(-0.02, 1.02))
    panel.legend(fontsize="x-small", ncols=2, loc="upper right")


def _draw_distance(panel: Axes, path: PlottablePath) -> None:
    end = "to the destination" if path.kind == "horizontal" else "from the start"
    (distance,) = panel.plot(path.distance.numpy(), label=f"distance {end}")
    panel.set(
        title="Distance and horizontality", xlabel="path step", ylabel="distance (input units)"
    )
    panel.set_ylim(bottom=0)
    right = panel.twinx()
    (horizontality,) = right.plot(
        path.horizontality.numpy(), color="grey", linewidth=0.8, label="horizontality"
    )
    right.set(ylim=(-0.02, 1.02), ylabel="horizontality")
    # The distance falls along a horizontal path and rises along an orthogonal walk.
    handles = [distance, horizontality]
    if path.kind == "horizontal":
        panel.legend(handles=handles, fontsize="x-small", loc="lower left")
    else:
        panel.legend(handles=handles, fontsize="x-small", loc="upper left")
