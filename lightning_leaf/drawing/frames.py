"""Frames: points of the input space as images, vectors or signals that can be displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightning_leaf.drawing.layout import COLOURS, Layout, layout_of

SAMPLES_PER_PIXEL = 4
"""Largest number of samples of a vector or signal, relative to the largest side of an image."""
SIDE_OF_SLICES = 2
"""Largest side of all slices together, relative to the largest side of an image."""
GAP = 1
"""Pixels between two slices."""
GREY = 0.5
"""Value of the pixels between slices, between black (0) and white (1)."""

Frames = npt.NDArray[Any]


def frames_of(
    points: Tensor,  # (F, ...)
    bounds: tuple[Tensor, Tensor] | None,
    largest_side: int,
    channel_axis: int | None = None,
) -> Frames:
    """Convert points to frames: images where the shape is that of an image, else signals.

    A video or volume becomes one image of at most 9 evenly spaced slices. For the shapes that count
    as images see :func:`~lightning_leaf.drawing.layout.layout_of`. Channels other than grey values
    or colours are shown as their mean.

    Args:
        points: F inputs of the model, ``(F, ...)``.
        bounds: The inputs that are black and white, as
            :func:`~lightning_leaf.data.normalization.input_bounds` returns them. None: scale from
            the smallest to the largest finite value in ``points``.
        largest_side: Images are scaled down by area averages until no side is longer, images of
            slices until no side is longer than twice this value, and vectors and signals until no
            axis is longer than four times this value.
        channel_axis: Axis of the channels of ``points``; None to guess it from the shape.

    Returns:
        Images ``(F, H, W)`` or ``(F, H, W, 3)``, uint8; or vectors ``(F, n)`` and signals
        ``(F, channels, n)``, float32, in the units of the model's input.
    """
    points = points.detach().cpu().float()
    layout = layout_of(tuple(points.shape[1:]), channel_axis)
    if layout is None:
        return _signals(points, SAMPLES_PER_PIXEL * largest_side)
    if bounds is None:
        low, high = points[points.isfinite()].aminmax()
    else:
        low, high = (bound.detach().cpu().float() for bound in bounds)
    points, low, high = (_shown_slices(each, layout) for each in (points, low, high))
    shown = ((points - low) / (high - low).clamp_min(1e-12)).nan_to_num().clamp(0, 1)
    images = _images(shown, layout, largest_side)  # (F, 1 or 3, H, W)
    pixels: Frames = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def shared_scale(
    points: Tensor,  # (F, ...)
    end: Tensor | None,
) -> tuple[Tensor, Tensor] | None:
    """Return the smallest and the largest finite value of a path, for one scale of all its frames.

    Args:
        points: Points of the path, ``(F, ...)``.
        end: Its destination, ``(...)``, if there is one.

    Returns:
        Two numbers; None if no value is finite.
    """
    parts = [points] if end is None else [points, end]
    values = [part[part.isfinite()].detach().cpu().float() for part in parts]
    ranges = [part.aminmax() for part in values if part.numel()]
    if not ranges:
        return None
    return (
        torch.stack([low for low, _ in ranges]).min(),
        torch.stack([high for _, high in ranges]).max(),
    )


def _shown_slices(points: Tensor, layout: Layout) -> Tensor:
    """Return the slices to show of points or of bounds that broadcast to points."""
    axis = 0 if layout.slices is None else 1 + layout.slices
    if axis == 0 or points.ndim <= axis or points.shape[axis] == 1:
        return points
    return points.index_select(axis, torch.tensor(layout.shown))


def _images(points: Tensor, layout: Layout, largest_side: int) -> Tensor:  # -> (F, 1 or 3, H, W)
    """Return an image of each point, whose slices are side by side."""
    count, columns = len(layout.shown), layout.columns
    rows = -(-count // columns)
    slices = _slices(points, layout)  # (F, n, 1 or 3, H, W)
    height, width = slices.shape[3:]
    limit = largest_side if count == 1 else SIDE_OF_SLICES * largest_side
    highest, widest = ((limit - GAP * (n - 1)) // n for n in (rows, columns))
    shrink = min(1.0, highest / height, widest / width)
    if shrink < 1:
        height = max(1, min(round(height * shrink), highest))
        width = max(1, min(round(width * shrink), widest))
        scaled = interpolate(slices.flatten(0, 1), size=(height, width), mode="area")
        slices = scaled.reshape(*slices.shape[:3], height, width)
    size = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    sheet = slices.new_full((len(points), slices.shape[2], *size), GREY)
    for i in range(count):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[:, :, top : top + height, left : left + width] = slices[:, i]
    return sheet


def _slices(points: Tensor, layout: Layout) -> Tensor:  # -> (F, n, 1 or 3, H, W)
    """Return the slices in grey values or colours."""
    axes = (layout.slices, layout.channels, *layout.sides)
    slices = points.permute(0, *(1 + axis for axis in axes if axis is not None))
    if layout.channels is None:
        slices = slices.unsqueeze(1)
    if layout.slices is None:
        slices = slices.unsqueeze(1)
    return slices if slices.shape[2] in COLOURS else slices.mean(2, keepdim=True)


def _signals(points: Tensor, longest: int) -> Frames:
    if points.ndim > 3:
        points = points.flatten(1)
    axes = points.shape[1:]
    if max(axes) > longest:
        size = tuple(min(axis, longest) for axis in axes)
        points = interpolate(points.unsqueeze(1), size=size, mode="area").squeeze(1)
    signals: Frames = np.ascontiguousarray(points.numpy())
    return signals
