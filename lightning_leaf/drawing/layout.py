"""The axes of an input that is shown as an image, or as slices: videos and volumes."""

from __future__ import annotations

import math
from dataclasses import dataclass

COLOURS = (1, 3)
"""Numbers of channels that are shown as grey values and as colours."""
SLICES_SHOWN = 9
"""Largest number of slices of a video or volume that are shown."""
SLICES_IN_A_ROW = 3
"""Largest number of slices that are shown side by side instead of in a square."""


@dataclass(frozen=True)
class Layout:
    """The axes of an input ``(...)`` without the batch axis.

    Attributes:
        shape: Shape of the input.
        channels: Axis of the channels; None if there is none.
        slices: Axis of the frames of a video or the slices of a volume; None for an image.
        sides: Axes of the height and the width.
    """

    shape: tuple[int, ...]
    channels: int | None
    slices: int | None
    sides: tuple[int, int]

    @property
    def shown(self) -> list[int]:
        """The slices to show, evenly spaced, with the first and the last; ``[0]`` for an image."""
        count = 1 if self.slices is None else self.shape[self.slices]
        if count <= SLICES_SHOWN:
            return list(range(count))
        return [round(k * (count - 1) / (SLICES_SHOWN - 1)) for k in range(SLICES_SHOWN)]

    @property
    def columns(self) -> int:
        """The number of slices in a row: all up to 3, else as many as in a column."""
        count = len(self.shown)
        return count if count <= SLICES_IN_A_ROW else math.ceil(math.sqrt(count))

    @property
    def note(self) -> str:
        """One sentence that says which slices are shown; empty for an image."""
        if self.slices is None or self.shape[self.slices] == 1:
            return ""
        count, shown = self.shape[self.slices], self.shown
        some = f"the {count}" if len(shown) == count else f"{len(shown)} of {count}"
        order = ", row by row" if len(shown) > SLICES_IN_A_ROW else ""
        which = "" if len(shown) == count else f": numbers {', '.join(map(str, shown))}"
        return (
            f"Each image shows {some} slices along axis {self.slices} of an input of shape "
            f"{self.shape}{order}{which}."
        )


def layout_of(shape: tuple[int, ...], channel_axis: int | None = None) -> Layout | None:
    """Return the layout of inputs of a shape; None if they are shown as vectors or signals.

    Images are ``(1 or 3, H, W)``, ``(H, W, 1 or 3)``, ``(channels, H, W)`` with H and W at least 8,
    and ``(H, W)`` with sides of at least 8 whose ratio is at most 4. With four axes, three of which
    are slices, height and width: videos ``(T, channels, H, W)``, ``(channels, T, H, W)`` and
    ``(T, H, W, channels)`` with 1 or 3 channels, looked for in this order, and volumes
    ``(channels, D, H, W)`` with H and W at least 8.

    Args:
        shape: Shape of an input, without the batch axis.
        channel_axis: Axis of the channels in a batch, see
            :class:`~lightning_leaf.data.normalization.Normalization`. None: the axes are guessed
            from the shape.

    Example:
        >>> layout_of((16, 3, 112, 112)).slices, layout_of((1, 40, 64, 64)).slices
        (0, 1)
        >>> layout_of((2, 5000)) is None
        True
    """
    shape = tuple(shape)
    if len(shape) == 2:
        is_image = min(shape) >= 8 and max(shape) <= 4 * min(shape)
        return Layout(shape, None, None, (0, 1)) if is_image else None
    if len(shape) not in (3, 4):
        return None
    if channel_axis is None:
        channels = _guessed_channels(shape)
    else:
        channels = channel_axis % (len(shape) + 1) - 1
    *slices, height, width = (axis for axis in range(len(shape)) if axis != channels)
    if shape[channels] not in COLOURS and min(shape[height], shape[width]) < 8:
        return None
    return Layout(shape, channels, slices[0] if slices else None, (height, width))


def _guessed_channels(shape: tuple[int, ...]) -> int:
    candidates = (0, 2) if len(shape) == 3 else (1, 0, 3)
    return next((axis for axis in candidates if shape[axis] in COLOURS), 0)
