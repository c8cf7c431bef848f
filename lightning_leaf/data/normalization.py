"""Between the pixel values that people see and the numbers that the model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError

Bound = float | Sequence[float]


@dataclass(frozen=True)
class Normalization:
    """The map pixel ↦ (pixel − mean) / std, one mean and one std per channel (or one for all).

    Attributes:
        mean: Mean of every channel, in pixel units.
        std: Standard deviation of every channel, in pixel units, positive.

    Raises:
        LeafError: If mean and std differ in length, are empty or a std is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise LeafError(
                "A normalisation expects as many means as standard deviations, one per channel, "
                f"every standard deviation positive; got mean={self.mean}, std={self.std}."
            )

    @classmethod
    def of(cls, normalize: Any) -> Normalization:
        """From a ``torchvision.transforms.Normalize`` (v1 or v2) or a pair ``(mean, std)``.

        Raises:
            LeafError: If ``normalize`` is neither.
        """
        if isinstance(normalize, cls):
            return normalize
        if hasattr(normalize, "mean") and hasattr(normalize, "std"):
            mean, std = normalize.mean, normalize.std
        elif isinstance(normalize, Sequence) and len(normalize) == 2:
            mean, std = normalize
        else:
            raise LeafError(
                "normalize expects torchvision.transforms.Normalize or a pair (mean, std); "
                f"got {normalize!r}."
            )
        return cls(_numbers(mean), _numbers(std))

    def to_pixels(self, x: Tensor) -> Tensor:  # (B, channels, ...)
        """Undo the normalisation: x · std + mean, in pixel units."""
        return x * _per_channel(self.std, x) + _per_channel(self.mean, x)

    def from_pixels(self, pixels: Tensor) -> Tensor:  # (B, channels, ...)
        """Apply the normalisation: (pixels − mean) / std."""
        return (pixels - _per_channel(self.mean, pixels)) / _per_channel(self.std, pixels)


def input_bounds(
    x: Tensor,  # (B, ...)
    normalize: Any | None,
    domain: tuple[Bound, Bound] | None,
) -> tuple[Tensor, Tensor] | None:
    """Lower and upper bound of valid inputs, in the units of x, or None for an open domain.

    Args:
        x: A batch whose shape says where the channels are (axis 1).
        normalize: What :meth:`Normalization.of` accepts; its pixels range over [0, 1] unless
            ``domain`` says otherwise.
        domain: ``(low, high)``, each a number or one number per channel; in pixel units when
            ``normalize`` is given, else in the units of x.

    Raises:
        LeafError: If a lower bound is not below its upper bound or the channels do not match.
    """
    if normalize is None and domain is None:
        return None
    low, high = (0.0, 1.0) if domain is None else domain
    bounds = [_per_channel(_numbers(bound), x) for bound in (low, high)]
    if not bool((bounds[0] < bounds[1]).all()):
        raise LeafError(f"domain expects (low, high) with low < high; got {domain!r}.")
    if normalize is not None:
        normalization = Normalization.of(normalize)
        bounds = [normalization.from_pixels(bound.expand(1, *x.shape[1:])) for bound in bounds]
    return bounds[0], bounds[1]


def _numbers(values: Any) -> tuple[float, ...]:
    try:
        flat = torch.as_tensor(values, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LeafError(f"Expected a number or one number per channel; got {values!r}.") from error
    return tuple(flat.tolist())


def _per_channel(values: tuple[float, ...], x: Tensor) -> Tensor:
    """Shape ``values`` so that they broadcast along axis 1 of x (or along nothing)."""
    if len(values) == 1:
        return torch.tensor(values[0], dtype=x.dtype, device=x.device)
    if x.ndim < 2 or x.shape[1] != len(values):
        raise LeafError(
            f"Got {len(values)} values per channel for inputs of shape {tuple(x.shape)}: expected "
            "as many as axis 1 has channels, or a single one."
        )
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(shape)
