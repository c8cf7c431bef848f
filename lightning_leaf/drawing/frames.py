"""Frames: points of the input space as images, vectors or signals that can be displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

SAMPLES_PER_PIXEL = 4
"""Largest number of samples of a vector or signal, relative to the largest side of an image."""

Frames = npt.NDArray[Any]


def frames_of(
    points: Tensor,  # (F, ...)
    bounds: tuple[Tensor, Tensor] | None,
    largest_side: int,
) -> Frames:
    """Convert points to frames: images where the shape is that of an image, else signals.

    These shapes count as images: ``(1 or 3, H, W)``, ``(H, W, 1 or 3)``, ``(channels, H, W)`` with
    H and W at least 8 (shown as the mean over the channels), and ``(H, W)`` with sides of at least
    8 whose ratio is at most 4; see :func:`is_image`.

    Args:
        points: F inputs of the model, ``(F, ...)``.
        bounds: The inputs that are black and white, as
            :func:`~lightning_leaf.data.normalization.input_bounds` returns them. None: scale from
            the smallest to the largest finite value in ``points``.
        largest_side: Images are scaled down by area averages until no side is longer; vectors and
            signals until no axis is longer than four times this value.

    Returns:
        Images ``(F, H, W)`` or ``(F, H, W, 3)``, uint8; or vectors ``(F, n)`` and signals
        ``(F, channels, n)``, float32, in the units of the model's input.
    """
    points = points.detach().cpu().float()
    if not is_image(points.shape[1:]):
        return _signals(points, SAMPLES_PER_PIXEL * largest_side)
    if bounds is None:
        low, high = points[points.isfinite()].aminmax()
    else:
        low, high = (bound.detach().cpu().float() for bound in bounds)
    shown = ((points - low) / (high - low).clamp_min(1e-12)).nan_to_num().clamp(0, 1)
    images = _channels_first(shown)  # (F, 1 or 3, H, W)
    height, width = images.shape[2:]
    shrink = min(1.0, largest_side / max(height, width))
    if shrink < 1:
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        images = interpolate(images, size=size, mode="area")
    pixels: Frames = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def is_image(shape: torch.Size | tuple[int, ...]) -> bool:
    """Return whether an input of this shape, without the batch axis, is shown as an image."""
    if len(shape) == 3:
        return shape[0] in (1, 3) or shape[2] in (1, 3) or min(shape[1:]) >= 8
    return len(shape) == 2 and min(shape) >= 8 and max(shape) <= 4 * min(shape)


def _channels_first(images: Tensor) -> Tensor:  # -> (F, 1 or 3, H, W)
    if images.ndim == 3:
        return images.unsqueeze(1)
    if images.shape[1] in (1, 3):
        return images
    if images.shape[3] in (1, 3):
        return images.permute(0, 3, 1, 2)
    return images.mean(1, keepdim=True)


def _signals(points: Tensor, longest: int) -> Frames:
    if points.ndim > 3:
        points = points.flatten(1)
    axes = points.shape[1:]
    if max(axes) > longest:
        size = tuple(min(axis, longest) for axis in axes)
        points = interpolate(points.unsqueeze(1), size=size, mode="area").squeeze(1)
    signals: Frames = np.ascontiguousarray(points.numpy())
    return signals
