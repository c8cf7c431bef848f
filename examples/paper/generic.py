"""Points and directions at which derivatives are checked, in float64."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

NOISE = 0.1
"""Standard deviation of the noise that removes ties of the background, in input units."""


def in_double(network: nn.Module) -> nn.Module:
    """Return a copy in float64, for accurate derivatives and differences."""
    return deepcopy(network).double()


def unit(shape: torch.Size, seed: int) -> Tensor:
    """Return random directions of length one, float64."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(v.flatten(1), dim=1).reshape(shape)


def generic(x: Tensor, seed: int) -> Tensor:
    """Add a little noise to every pixel of images.

    A background of constant grey produces ties in every max-pooling window over it. Without noise,
    the images lie on activation boundaries, where the network has no derivative.
    """
    generator = torch.Generator().manual_seed(seed)
    return x.double() + NOISE * torch.randn(x.shape, generator=generator, dtype=torch.float64)
