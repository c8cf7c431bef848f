"""The results of a block of path steps, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COLUMNS = ("distance", "projected square", "moved", "marker", "barrier", "potential")
"""What a path step returns of every path, after its log-probabilities."""


@dataclass(frozen=True)
class Curves:
    """Curves of L steps of n paths.

    Attributes:
        log_probs: Log-probabilities, ``(n, L, C)``, float32.
        distance: Distance that the goal records, ``(n, L)``.
        horizontality: Share of each displacement in D_x, ``(n, L)``.
        length: Fisher–Rao length of the step before each point, ``(n, L)``.
        moved: Euclidean length of the step after each point, ``(n, L)``.
    """

    log_probs: Tensor
    distance: Tensor
    horizontality: Tensor
    length: Tensor
    moved: Tensor

    def of(self, path: int) -> tuple[Tensor, ...]:
        """Return the curves of one path."""
        curves = self.log_probs, self.distance, self.horizontality, self.length, self.moved
        return tuple(curve[path] for curve in curves)


class Block:
    """The results of L steps of n paths.

    Args:
        values: For every path and step the log-probabilities, the :data:`COLUMNS`, and the
            Fisher–Rao length from the point before, ``(n, L, C + 7)``, float64, on the host.

    Attributes:
        distance: Distance that the goal records, ``(n, L)``.
        moved: Length of the displacement, ``(n, L)``.
        barrier: What blocks the path, a position in :data:`~lightning_leaf.paths.goal.BARRIERS`,
            ``(n, L)``.
        potential: A number that decreases while the path makes progress, ``(n, L)``.
        finite: Whether scores and derivatives are finite, ``(n, L)``.
    """

    def __init__(self, values: Tensor) -> None:
        self._log_probs = values[..., : -len(COLUMNS) - 1]
        columns = values[..., -len(COLUMNS) - 1 :].unbind(-1)
        self.distance, square, self.moved, marker, self.barrier, self.potential, self._length = (
            columns
        )
        self._square = square
        self.finite = self._log_probs.isfinite().all(-1) & marker.isfinite()

    def curves(self, are_first: Tensor) -> Curves:
        """Return the curves of the paths.

        Args:
            are_first: Whether the first point of the block is the first of its path, ``(n,)``.
        """
        self._length[are_first, 0] = 0
        # Rounding can exceed the range.
        horizontality = (self._square.clamp_min(0).sqrt() / self.moved).clamp(max=1)
        return Curves(
            self._log_probs.float(), self.distance, horizontality, self._length, self.moved
        )


def on_host(values: Tensor) -> Tensor:
    """Return a copy on the host; the only place in a block of steps that waits for the device."""
    if values.device.type != "cuda":
        return values.cpu()
    copied = values.to("cpu", non_blocking=True)  # into pinned memory
    torch.cuda.current_stream(values.device).synchronize()
    return copied
