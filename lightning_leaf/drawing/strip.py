"""Strips: the frames of one path in a row, with the prediction under each."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard_plugin_leaf import PathRecord

from lightning_leaf.drawing.predictions import NO_LABEL

TILE = 72
"""Side of the square that a frame fills, in pixels."""
GAP = 4
"""Pixels between two tiles."""
CAPTION = 28
"""Height of the caption below a tile, in pixels."""
BLACK, WHITE, GREY = (20, 20, 20), (255, 255, 255), (120, 120, 120)


def draw_strip(path: PathRecord) -> Image.Image:
    """Draw the frames of a path with label, probability and step; the destination is last.

    Predictions of independent labels have no probability.
    """
    tiles = list(path.frames)
    captions = [
        f"{_prediction(label, float(probability))}\nstep {step}"
        for label, probability, step in zip(
            path.frame_labels, path.frame_probabilities, path.frame_steps, strict=True
        )
    ]
    if path.destination_frame is not None:
        tiles.append(path.destination_frame)
        captions.append(f"{path.destination[:9]}\ndestination")
    low, high = float(np.nanmin(tiles)), float(np.nanmax(tiles))

    strip = Image.new("RGB", (len(tiles) * (TILE + GAP) + GAP, TILE + CAPTION + 2 * GAP), WHITE)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=10)
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = GAP + i * (TILE + GAP)
        if tile.dtype == np.uint8:
            strip.paste(_resized(tile), (left, GAP))
        else:
            _draw_signal(draw, np.atleast_2d(tile), left, low, high)
        draw.multiline_text((left, GAP + TILE + 2), caption, BLACK, font, spacing=2)
    return strip


def _prediction(label: str, probability: float) -> str:
    if label == NO_LABEL:
        return "no label"
    return label[:13] if math.isnan(probability) else f"{label[:9]} {probability:.2f}"


def stack_strips(strips: list[Image.Image]) -> Image.Image:
    """Stack strips, one below the other."""
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), WHITE)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _resized(tile: np.ndarray) -> Image.Image:  # (H, W) or (H, W, 3)
    image = Image.fromarray(tile).convert("RGB")
    scale = TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # NEAREST shows the pixels of a small image as squares.
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return image.resize(size, resampling)


def _draw_signal(
    draw: ImageDraw.ImageDraw,
    channels: np.ndarray,  # (channels, n)
    left: int,
    low: float,
    high: float,
) -> None:
    draw.rectangle((left, GAP, left + TILE - 1, GAP + TILE - 1), outline=GREY)
    heights = (np.nan_to_num(channels) - low) / max(high - low, 1e-12)
    for channel in heights.clip(0, 1):
        x = left + np.linspace(1, TILE - 2, len(channel))
        y = GAP + TILE - 2 - channel * (TILE - 3)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=BLACK)
