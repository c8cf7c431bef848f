"""The figures: changed images, and agreement of the judges by the size of the change."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from examples.counterfactuals.comparison import SIZES, Comparison
from examples.counterfactuals.question import TARGETS
from examples.counterfactuals.training import ADVERSARIAL, KINDS
from examples.counterfactuals.ways import (
    ALGORITHM_1,
    ASCENT,
    ASCENT_VALID,
    LEAST_SURE,
    LINE,
    PREDICTION,
    PREDICTION_VALID,
)
from examples.paper.experiment import Found
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, RED, drawing

DRAWN = (PREDICTION, PREDICTION_VALID, ASCENT_VALID, LEAST_SURE, LINE, ALGORITHM_1)
COLOURS = {
    PREDICTION: BLUE,
    PREDICTION_VALID: "#7fb2e5",
    ASCENT: ORANGE,
    LEAST_SURE: RED,
    LINE: GREY,
    ALGORITHM_1: GREEN,
}
UP, DOWN = (0.71, 0.13, 0.16), (0.13, 0.35, 0.66)
"""Colours of pixels that become brighter and darker."""
TILE = 1.2
"""Distance of two images of a sheet, in images."""
JUDGES = {"own": "judges of the same kind", "robust": f"{ADVERSARIAL} judges"}


def draw(comparison: Comparison, found: dict[str, list[Found]], folder: Path) -> None:
    """Draw all figures, from the measurements of all seeds by kind of training."""
    for kind in KINDS:
        draw_sheet(comparison, found[kind][0], folder / f"{kind}.png")
    draw_sizes(found, folder / "sizes.png")


def draw_sheet(comparison: Comparison, one: Found, file: Path) -> None:
    """Draw sources, ends and changes. All images have one grey scale, all changes another."""
    rows = [(target, i) for target in TARGETS for i in range(len(one["x"]))]
    _, height, width = comparison.images.shape
    tall, wide = round(TILE * height), round(TILE * width)  # a tile with its margins
    sheet = torch.ones(2 * len(rows) * tall, (1 + len(DRAWN)) * wide, 3)

    def place(pixels: Tensor, row: int, column: int) -> None:  # (height, width, 3)
        sheet[row * tall :, column * wide :][:height, :width] = pixels

    with drawing((7.2, 2.2 * len(rows)), file) as figure:
        panel = figure.subplots()
        text = {"fontsize": 6.5, "ha": "center", "va": "top"}
        for row, (target, i) in enumerate(rows):
            x = comparison.images.normalization.to_pixels(one["x"][i : i + 1])[0, 0]
            place(grey(x), 2 * row, 0)
            below = (2 * row * tall + height, (2 * row + 1) * tall + height)
            asked = int(one[target]["target"][i])
            panel.text(width / 2, below[0], f"to {asked} ({target})", **text)
            for column, way in enumerate(DRAWN, start=1):
                numbers = one[target][way]
                end = comparison.images.normalization.to_pixels(numbers["end"][i : i + 1])[0, 0]
                place(grey(end), 2 * row, column)
                place(red_and_blue(end - x), 2 * row + 1, column)
                own, robust = (float(numbers[f"{judge} probability"][i]) for judge in JUDGES)
                panel.text(column * wide + width / 2, below[1], f"{own:.2f}, {robust:.2f}", **text)
        for column, way in enumerate(("image", *DRAWN)):
            title = way.replace(", ", ",\n")
            panel.text(column * wide + width / 2, -0.6, title, **(text | {"va": "bottom"}))
        panel.imshow(sheet.numpy(), interpolation="nearest")
        panel.set_axis_off()


def grey(pixels: Tensor) -> Tensor:  # (height, width) -> (height, width, 3)
    return pixels.clamp(0, 1)[..., None].expand(-1, -1, 3)


def red_and_blue(change: Tensor) -> Tensor:  # (height, width) -> (height, width, 3)
    """Colour a change of pixels: red is 1, white is 0, blue is -1."""
    size = change.clamp(-1, 1)[..., None]
    colour = torch.where(size > 0, torch.tensor(UP), torch.tensor(DOWN))
    return 1 - size.abs() * (1 - colour)


def draw_sizes(found: dict[str, list[Found]], file: Path) -> None:
    """Draw the judges' agreement after changes of the same size, the mean over both targets."""
    with drawing((9, 5), file) as figure:
        panels = figure.subplots(2, len(KINDS), sharex=True, sharey=True)
        for column, kind in zip(panels.T, KINDS, strict=True):
            for (judge, title), panel in zip(JUDGES.items(), column, strict=True):
                for way, colour in COLOURS.items():
                    curves = torch.cat(
                        [one[target][way][f"{judge} by size"] for one in found[kind]
                         for target in TARGETS]
                    )  # fmt: skip
                    panel.plot(SIZES, curves.mean(0), color=colour, marker=".", label=way)
                panel.set(title=f"{kind}: {title}", ylim=(0, 1))
            column[-1].set_xlabel("size of the change / distance of two images")
        panels[0, 0].legend()
