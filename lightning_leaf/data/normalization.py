"""The map between pixels and inputs of the model, and the valid range of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, shown

Bound = float | Sequence[float]
"""One end of a range: a number, or one number per channel."""


@dataclass(frozen=True)
class Normalization:
    """The map from pixels to inputs of the model: x = (pixel − mean) / std, per channel.

    Attributes:
        mean: Mean of every channel, or one for all channels, in pixel units.
        std: Standard deviation of every channel, or one for all channels, in pixel units.
        axis: Axis of the channels in a batch, whose axis 0 is the input: ``axis=-1`` for images
            ``(B, H, W, channels)``. Default: −3 for batches with at least four axes, such as images
            ``(B, channels, H, W)`` and videos ``(B, T, channels, H, W)``, because
            ``torchvision.transforms.Normalize`` works along −3; 1 for other batches, and for those
            whose axis −3 does not have one entry per channel but axis 1 has, such as volumes
            ``(B, channels, D, H, W)``. Give ``axis=1`` for volumes with as many slices as channels.

    Raises:
        LeafError: If mean and std differ in length or are empty, if a std is not positive, or if
            the axis is that of the inputs.

    Example:
        >>> import torch
        >>> from lightning_leaf import Normalization
        >>> normalization = Normalization.of(([0.5], [0.25]))
        >>> x = normalization.from_pixels(torch.tensor([[[[0.0, 1.0]]]]))
        >>> x.flatten().tolist()
        [-2.0, 2.0]
        >>> normalization.to_pixels(x).flatten().tolist()
        [0.0, 1.0]
        >>> channels_last = Normalization((0.25, 0.5, 0.75), (0.5, 0.5, 0.5), axis=-1)
        >>> channels_last.from_pixels(torch.zeros(1, 32, 32, 3))[0, 0, 0].tolist()
        [-0.5, -1.0, -1.5]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise LeafError(
                "normalize expects as many means as standard deviations, one per channel, and "
                f"every standard deviation positive; got mean={self.mean}, std={self.std}."
            )
        is_axis = isinstance(self.axis, int) and not isinstance(self.axis, bool) and self.axis != 0
        if self.axis is not None and not is_axis:
            raise LeafError(
                "axis expects the axis of the channels in a batch, whose axis 0 is the input: 1 "
                f"for channels first, -1 for channels last; got {shown(self.axis)}."
            )

    @classmethod
    def of(cls, normalize: Any) -> Normalization:
        """Convert what functions with the argument ``normalize`` accept.

        Args:
            normalize: A ``torchvision.transforms.Normalize`` (v1 or v2), a pair ``(mean, std)``,
                each a number or one number per channel, or a :class:`Normalization`.

        Raises:
            LeafError: If ``normalize`` is none of these.
        """
        if isinstance(normalize, cls):
            return normalize
        if hasattr(normalize, "mean") and hasattr(normalize, "std"):
            mean, std = normalize.mean, normalize.std
        elif isinstance(normalize, Sequence) and len(normalize) == 2:
            mean, std = normalize
        else:
            raise LeafError(
                "normalize expects torchvision.transforms.Normalize or a pair (mean, std), for "
                f"example normalize=(0.5, 0.25); got {shown(normalize)}."
            )
        return cls(_numbers(mean, "mean"), _numbers(std, "std"))

    def to_pixels(self, x: Tensor) -> Tensor:  # (B, ...)
        """Return the pixels x · std + mean.

        Args:
            x: Inputs, ``(B, ...)``, with the channels on their axis.

        Raises:
            LeafError: If the number of channels differs from that of mean and std.
        """
        mean, std = (_per_channel(values, x, self.axis) for values in (self.mean, self.std))
        return x * std + mean

    def from_pixels(self, pixels: Tensor) -> Tensor:  # (B, ...)
        """Return the inputs (pixels − mean) / std.

        Args:
            pixels: Pixels, ``(B, ...)``, with the channels on their axis.

        Raises:
            LeafError: If the number of channels differs from that of mean and std.
        """
        mean, std = (_per_channel(values, pixels, self.axis) for values in (self.mean, self.std))
        return (pixels - mean) / std


def input_bounds(
    x: Tensor,  # (B, ...)
    normalize: Any | None,
    domain: tuple[Bound, Bound] | None,
) -> tuple[Tensor, Tensor] | None:
    """Return the smallest and the largest valid input, in the units of x.

    Args:
        x: A batch. The axis of its channels is that of ``normalize``.
        normalize: What :meth:`Normalization.of` accepts. Pixels range from 0 to 1 if ``domain`` is
            not given.
        domain: ``(low, high)``, each a number or one number per channel: in pixel units if
            ``normalize`` is given, else in the units of x.

    Returns:
        Two tensors that broadcast to x; None if neither ``normalize`` nor ``domain`` is given.

    Raises:
        LeafError: If a lower bound is not below its upper bound or the channels do not match.
    """
    if normalize is None and domain is None:
        return None
    low, high = (0.0, 1.0) if domain is None else domain
    normalization = None if normalize is None else Normalization.of(normalize)
    axis = None if normalization is None else normalization.axis
    bounds = [_per_channel(_numbers(bound, "domain"), x, axis) for bound in (low, high)]
    if not bool((bounds[0] < bounds[1]).all()):
        raise LeafError(f"domain expects (low, high) with low < high; got {shown(domain)}.")
    if normalization is not None:
        bounds = [normalization.from_pixels(bound.expand(1, *x.shape[1:])) for bound in bounds]
    return bounds[0], bounds[1]


def _numbers(values: Any, name: str) -> tuple[float, ...]:
    try:
        flat = torch.as_tensor(values, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LeafError(
            f"{name} expects a number or one number per channel; got {shown(values)}."
        ) from error
    return tuple(flat.tolist())


def _per_channel(values: tuple[float, ...], x: Tensor, axis: int | None) -> Tensor:
    """Return a tensor that broadcasts along the axis of the channels of x."""
    if len(values) == 1:
        return torch.tensor(values[0], dtype=x.dtype, device=x.device)
    shape = [1] * x.ndim
    shape[_channel_axis(len(values), tuple(x.shape), axis)] = -1
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(shape)


def _channel_axis(channels: int, shape: tuple[int, ...], axis: int | None) -> int:
    """Return the axis of the channels, see :class:`Normalization`.

    Raises:
        LeafError: If it does not have one entry for each channel.
    """
    candidates = ((-3, 1) if len(shape) >= 4 else (1,)) if axis is None else (axis,)
    for candidate in candidates:
        position = candidate % len(shape)
        if -len(shape) <= candidate < len(shape) and position and shape[position] == channels:
            return position
    names = " or ".join(map(str, dict.fromkeys(candidates)))
    message = (
        f"normalize and domain expect one number, or one number per channel (axis {names}); got "
        f"{channels} numbers for inputs of shape {shape}."
    )
    if channels in shape[1:]:
        other = len(shape) - 1 - shape[::-1].index(channels)
        message += (
            f" Axis {other - len(shape)} has {channels} entries: if it is that of the channels, "
            f"pass normalize=Normalization(mean, std, axis={other - len(shape)})."
        )
    raise LeafError(message)
