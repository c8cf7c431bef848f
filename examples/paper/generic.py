"""Points and directions at which derivatives are checked, in float64."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

NOISE = 0.1
"""Standard deviation of what moves images off the ties of their background, in input units."""


def in_double(network: nn.Module) -> nn.Module:
    """A copy in float64, for derivatives that are compared with differences."""
    return deepcopy(network).double()


def unit(shape: torch.Size, seed: int) -> Tensor:
    """Random directions of length one, float64."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(v.flatten(1), dim=1).reshape(shape)


def generic(x: Tensor, seed: int) -> Tensor:
    """Images moved a little, in every pixel.

    A background of one grey makes ties in every max-pooling window over it: the images themselves
    lie where activations switch, and have no derivative.
    """
    generator = torch.Generator().manual_seed(seed)
    return x.double() + NOISE * torch.randn(x.shape, generator=generator, dtype=torch.float64)
