"""The map between pixels and inputs of the model, and the valid range of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError

Bound = float | Sequence[float]
"""One end of a range: a number, or one number per channel."""


@dataclass(frozen=True)
class Normalization:
    """The map from pixels to inputs of the model: x = (pixel − mean) / std, per channel.

    Attributes:
        mean: Mean of every channel, or one for all channels, in pixel units.
        std: Standard deviation of every channel, or one for all channels, in pixel units.

    Raises:
        LeafError: If mean and std differ in length or are empty, or if a std is not positive.

    Example:
        >>> import torch
        >>> from lightning_leaf import Normalization
        >>> normalization = Normalization.of(([0.5], [0.25]))
        >>> x = normalization.from_pixels(torch.tensor([[[[0.0, 1.0]]]]))
        >>> x.flatten().tolist()
        [-2.0, 2.0]
        >>> normalization.to_pixels(x).flatten().tolist()
        [0.0, 1.0]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise LeafError(
                "normalize expects as many means as standard deviations, one per channel, and "
                f"every standard deviation positive; got mean={self.mean}, std={self.std}."
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
                f"example normalize=(0.5, 0.25); got {normalize!r}."
            )
        return cls(_numbers(mean, "mean"), _numbers(std, "std"))

    def to_pixels(self, x: Tensor) -> Tensor:  # (B, channels, ...)
        """Return the pixels x · std + mean.

        Args:
            x: Inputs, ``(B, channels, ...)``.

        Raises:
            LeafError: If the number of channels differs from that of mean and std.
        """
        return x * _per_channel(self.std, x) + _per_channel(self.mean, x)

    def from_pixels(self, pixels: Tensor) -> Tensor:  # (B, channels, ...)
        """Return the inputs (pixels − mean) / std.

        Args:
            pixels: Pixels, ``(B, channels, ...)``.

        Raises:
            LeafError: If the number of channels differs from that of mean and std.
        """
        return (pixels - _per_channel(self.mean, pixels)) / _per_channel(self.std, pixels)


def input_bounds(
    x: Tensor,  # (B, ...)
    normalize: Any | None,
    domain: tuple[Bound, Bound] | None,
) -> tuple[Tensor, Tensor] | None:
    """Return the smallest and the largest valid input, in the units of x.

    Args:
        x: A batch; axis 1 is that of the channels.
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
    bounds = [_per_channel(_numbers(bound, "domain"), x) for bound in (low, high)]
    if not bool((bounds[0] < bounds[1]).all()):
        raise LeafError(f"domain expects (low, high) with low < high; got {domain!r}.")
    if normalize is not None:
        normalization = Normalization.of(normalize)
        bounds = [normalization.from_pixels(bound.expand(1, *x.shape[1:])) for bound in bounds]
    return bounds[0], bounds[1]


def _numbers(values: Any, name: str) -> tuple[float, ...]:
    try:
        flat = torch.as_tensor(values, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LeafError(
            f"{name} expects a number or one number per channel; got {values!r}."
        ) from error
    return tuple(flat.tolist())


def _per_channel(values: tuple[float, ...], x: Tensor) -> Tensor:
    """Return a tensor that broadcasts along axis 1 of x."""
    if len(values) == 1:
        return torch.tensor(values[0], dtype=x.dtype, device=x.device)
    if x.ndim < 2 or x.shape[1] != len(values):
        raise LeafError(
            "normalize and domain expect one number, or one number per channel (axis 1); got "
            f"{len(values)} numbers for inputs of shape {tuple(x.shape)}."
        )
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(shape)
