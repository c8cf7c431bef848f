"""Strips: the frames of one path in a row, with the prediction under each."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from tensorboard_plugin_leaf import PathRecord
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.drawing.change import HIGHER, Change, change_between
from lightning_leaf.drawing.frames import shared_scale
from lightning_leaf.drawing.lettering import Colour, fitted, text_width, write_line
from lightning_leaf.drawing.predictions import NO_LABEL
from lightning_leaf.drawing.titles import judgement, outcome, pair_name

TILE = 96
"""Side of the square that a frame fills, in pixels."""
GAP = 6
"""Pixels between two tiles."""
TITLE, SMALL = 16, 13
"""Sizes of the fonts of the title, and of captions, in pixels."""
HEADER = TITLE + SMALL + 18
"""Height of the title and the note below it, in pixels."""
CAPTION = 2 * (SMALL + 4)
"""Height of the caption below a tile, in pixels."""
BLACK, WHITE, GREY = (20, 20, 20), (255, 255, 255), (110, 110, 110)

Picture = npt.NDArray[Any]


class StripPath(Protocol):
    """The attributes of a path that a strip shows besides its record.

    :class:`~lightning_leaf.SinglePath` has them.
    """

    @property
    def kind(self) -> str:
        """``"horizontal"``, ``"prediction"`` or ``"orthogonal"``."""

    @property
    def points(self) -> Tensor:
        """Points, ``(F, ...)``."""

    @property
    def end(self) -> Tensor | None:
        """Destination, ``(...)``, if there is one."""

    @property
    def normalization(self) -> Normalization | None:
        """The map from pixels to inputs, if it is known."""


def draw_strip(record: PathRecord, path: StripPath, *, scaled: bool = False) -> Image.Image:
    """Draw the frames of a path with prediction and step below each, under a title.

    The title contains the ends of the path, how it ended, by how much the input has changed, and
    what another network predicts for its last point. Below it is the scale of the frames: all
    frames of a strip share one. The last tile is the destination of a horizontal path, and the
    change of the input along a prediction path: red where values are higher, blue where they are
    lower.

    Args:
        record: The path as its snapshot contains it.
        path: The path itself.
        scaled: Whether images are scaled from the smallest to the largest value of the path, see
            :func:`~lightning_leaf.display.snapshots.make_snapshot`.
    """
    tiles = list(record.frames)
    captions = [
        (_prediction(label, float(probability)), f"step {step}")
        for label, probability, step in zip(
            record.frame_labels, record.frame_probabilities, record.frame_steps, strict=True
        )
    ]
    if record.destination_frame is not None:
        tiles.append(record.destination_frame)
        captions.append((fitted("", record.destination, "", SMALL, TILE), "destination"))
    low, high = float(np.nanmin(tiles)), float(np.nanmax(tiles))
    is_image = tiles[0].dtype == np.uint8
    note = (
        _scale_note(path, scaled) if is_image else f"one scale: {_number(low)} to {_number(high)}"
    )

    change = None
    if path.kind == "prediction":
        axis = None if path.normalization is None else path.normalization.axis
        change = change_between(path.points[0], path.points[-1], TILE, axis)
        captions.append(("change", change.text))
        if change.is_image:
            full = _number(change.scale)
            note += f" · change: red is higher, blue is lower, full colour at {full}"
    title = _title(record)

    count = len(captions)
    width = max(count * (TILE + GAP), text_width(title, TITLE), text_width(note, SMALL)) + 2 * GAP
    strip = Image.new("RGB", (width, HEADER + TILE + CAPTION + 2 * GAP), WHITE)
    draw = ImageDraw.Draw(strip)
    write_line(draw, GAP, GAP, title, TITLE, BLACK)
    write_line(draw, GAP, GAP + TITLE + 5, note, SMALL, GREY)
    for i, lines in enumerate(captions):
        left = GAP + i * (TILE + GAP)
        if i == len(tiles):
            assert change is not None
            _draw_change(strip, draw, change, left)
        elif is_image:
            strip.paste(_resized(tiles[i]), (left, HEADER))
        else:
            _draw_signal(draw, np.atleast_2d(tiles[i]), left, low, high)
        for row, line in enumerate(lines):
            top = HEADER + TILE + 3 + row * (SMALL + 3)
            write_line(draw, left, top, line, SMALL, BLACK)
    return strip


def _title(record: PathRecord) -> str:
    changed = "" if math.isnan(record.change) else f"changed by {_number(record.change)}"
    parts = (pair_name(record), outcome(record), changed, judgement(record))
    return " · ".join(filter(None, parts))


def _scale_note(path: StripPath, scaled: bool) -> str:
    if not scaled:
        return "one scale: black and white are the ends of the valid range"
    ends = shared_scale(path.points, path.end)
    if ends is None:
        return ""
    low, high = (_number(float(end)) for end in ends)
    return f"one scale: black is {low}, white is {high}, the smallest and largest value of the path"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _prediction(label: str, probability: float) -> str:
    if label == NO_LABEL:
        return "no label"
    if math.isnan(probability):
        return fitted("", label, "", SMALL, TILE)
    return fitted("p(", label, f") = {probability:.2f}", SMALL, TILE)


def stack_strips(strips: list[Image.Image]) -> Image.Image:
    """Stack strips, one below the other."""
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), WHITE)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _resized(tile: Picture) -> Image.Image:  # (H, W) or (H, W, 3)
    image = Image.fromarray(tile).convert("RGB")
    scale = TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # NEAREST shows the pixels of a small image as squares.
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return image.resize(size, resampling)


def _draw_change(strip: Image.Image, draw: ImageDraw.ImageDraw, change: Change, left: int) -> None:
    if not change.is_image:
        scale = change.scale or 1.0
        _draw_signal(draw, np.atleast_2d(change.frame), left, -scale, scale, HIGHER)
        return
    picture = _resized(change.frame)
    strip.paste(picture, (left, HEADER))
    right, bottom = left + picture.width - 1, HEADER + picture.height - 1
    draw.rectangle((left, HEADER, right, bottom), outline=GREY)


def _draw_signal(
    draw: ImageDraw.ImageDraw,
    channels: Picture,  # (channels, n)
    left: int,
    low: float,
    high: float,
    colour: Colour = BLACK,
) -> None:
    top = HEADER
    draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=GREY)
    heights = (np.nan_to_num(channels) - low) / max(high - low, 1e-12)
    for channel in heights.clip(0, 1):
        x = left + np.linspace(1, TILE - 2, len(channel))
        y = top + TILE - 2 - channel * (TILE - 3)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour)
