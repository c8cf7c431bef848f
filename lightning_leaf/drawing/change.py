"""The change of an input from the start to the end of a path, as a frame in blue and red."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_leaf.drawing.frames import Frames, frames_of
from lightning_leaf.drawing.layout import layout_of

LOWER, SAME, HIGHER = (33, 102, 172), (255, 255, 255), (178, 24, 43)
"""Colours of the largest decrease, of no change, and of an equal increase."""


@dataclass(frozen=True)
class Change:
    """The change of an input, in the units of the model's input.

    Attributes:
        frame: An image ``(H, W, 3)``, uint8: white where nothing changes, blue where values are
            lower and red where they are higher; full colours are at ± the largest absolute value.
            Of colours and other channels it shows the mean. Vectors and signals are as
            :func:`~lightning_leaf.drawing.frames.frames_of` gives them.
        low: The smallest value; of images, of the mean over the channels.
        high: The largest value.
    """

    frame: Frames
    low: float
    high: float

    @property
    def is_image(self) -> bool:
        """Whether the frame is an image."""
        return bool(self.frame.dtype == np.uint8)

    @property
    def scale(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def text(self) -> str:
        """The smallest and the largest value.

        Example:
            >>> Change(np.zeros(3), -0.834, 0.61).text
            '−0.83 to 0.61'
        """
        return f"{self.low:.2g} to {self.high:.2g}".replace("-", "−")


def change_between(
    first: Tensor,  # (...)
    last: Tensor,  # (...)
    largest_side: int,
    channel_axis: int | None = None,
) -> Change:
    """Return the change from one point to another, x_last − x_first.

    Args:
        first: The first point.
        last: The last point, of the same shape.
        largest_side: See :func:`~lightning_leaf.drawing.frames.frames_of`.
        channel_axis: See :func:`~lightning_leaf.drawing.frames.frames_of`.
    """
    change = (last.detach().cpu().float() - first.detach().cpu().float()).nan_to_num()
    layout = layout_of(tuple(change.shape), channel_axis)
    if layout is not None and layout.channels is not None:
        change = change.mean(layout.channels, keepdim=True)
        channel_axis = 1 + layout.channels
    low, high = (float(value) for value in change.aminmax())
    largest = torch.tensor(max(abs(low), abs(high), 1e-12))
    (frame,) = frames_of(change.unsqueeze(0), (-largest, largest), largest_side, channel_axis)
    return Change(frame if layout is None else _COLOURS[frame], low, high)


def _colours() -> npt.NDArray[Any]:  # (256, 3)
    """Return the colour of every grey value; 0 and 255 are the ends of the scale."""
    position = np.linspace(-1, 1, 256)[:, None]
    same, end = np.array(SAME), np.where(position < 0, LOWER, HIGHER)
    colours: npt.NDArray[Any] = (same + np.abs(position) * (end - same)).round().astype(np.uint8)
    return colours


_COLOURS = _colours()
