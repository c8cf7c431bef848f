"""The style of all figures, and shared elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_leaf import Normalization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, RED = "#2f6fab", "#d9822b", "#4a9a63", "#8a8f98", "#b5483a"
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": "#3c4048",
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.dpi": 130,
    "font.size": 8,
    "grid.color": "#e8e9ec",
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "xtick.color": "#3c4048",
    "xtick.labelsize": 7,
    "ytick.color": "#3c4048",
    "ytick.labelsize": 7,
}


@contextmanager
def drawing(size: tuple[float, float], file: Path) -> Iterator[Figure]:
    """Provide an empty figure and save it to the file."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)


def above(figure: Figure, height: float) -> tuple[Any, Any]:
    """Split a figure into an upper and a lower part, with the given ratio of heights."""
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, 1])
    return parts[0], parts[1]


def strip(
    panels: Sequence[Axes],
    images: Tensor,  # (n, channels, height, width)
    normalization: Normalization,
    captions: Sequence[str] | None = None,
) -> None:
    """Draw images side by side."""
    for i, (panel, image) in enumerate(zip(panels, images, strict=False)):
        pixels = normalization.to_pixels(image.unsqueeze(0))[0].clamp(0, 1)
        grey = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
        panel.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        for spine in panel.spines.values():
            spine.set_visible(False)
        if captions is not None:
            panel.set_xlabel(captions[i], fontsize=6.5, labelpad=2)


def band(
    panel: Axes,
    x: Tensor | Sequence[float],  # (T,)
    curves: Tensor,  # (N, T)
    colour: str,
    label: str,
) -> None:
    """Draw the median of curves and the band between the first and the last decile."""
    low, middle, high = torch.quantile(
        curves.double(), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=0
    )
    panel.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    panel.plot(x, middle, color=colour, label=label)


def dots(panel: Axes, groups: dict[str, Tensor], colour: str) -> None:
    """Draw the values of each group as a column of dots, with the median."""
    for i, values in enumerate(groups.values()):
        spread = torch.linspace(-0.25, 0.25, len(values))
        panel.scatter(i + spread, values, s=5, color=colour, alpha=0.45, linewidths=0)
        panel.plot([i - 0.32, i + 0.32], [float(values.median())] * 2, color="#3c4048", lw=1.2)
    panel.set_xticks(range(len(groups)), list(groups), rotation=20, ha="right")
    panel.grid(axis="x", visible=False)
