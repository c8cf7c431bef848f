"""Steps that stay in a domain: coordinates at a bound that a step would leave keep their values."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4
"""Rounds to find these coordinates; then the step is clamped."""


class Domain:
    """The valid inputs at the points of a batch of paths.

    Args:
        x: The points, ``(n, ...)``.
        bounds: Smallest and largest valid input, which broadcast to x.
    """

    def __init__(self, x: Tensor, bounds: tuple[Tensor, Tensor]) -> None:
        low, high = (bound.expand_as(x).flatten(1) for bound in bounds)
        flat = x.flatten(1)
        self._is_low, self._is_high = flat <= low, flat >= high
        self.free = torch.ones_like(self._is_low)

    def exclude(self, v: Tensor) -> Tensor:  # (n, d) -> (n, d)
        """Exclude the coordinates that the step v would move out, and return those that are free.

        Coordinates inside of the domain are free: the step moves them to the bound at most.
        """
        self.free = self.free & ~(self._is_low & (v < 0)) & ~(self._is_high & (v > 0))
        return self.free
