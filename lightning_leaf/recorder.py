"""Keeps what a batch of walks went through, in bounded memory on the accelerator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.leaf_path import PathKind, PathStatus, SinglePath
from lightning_leaf.normalization import Normalization


@dataclass(frozen=True)
class Terms:
    """What was agreed for a batch of N paths."""

    kind: PathKind
    step_size: Tensor  # (N,)
    threshold: Tensor | None  # (N,); None where there is no destination
    max_steps: int
    keep_points: int
    bounds: tuple[Tensor, Tensor] | None
    normalization: Normalization | None


class Recorder:
    """Curves at every step and evenly thinned points of the walks that are still going on.

    Args:
        rows: Which of the N paths the walks are.
        keep_points: Points to keep of each at most. Every 2ᵏ-th point is kept; when they become
            too many, every other one is dropped and k goes up.
    """

    def __init__(self, rows: list[int], keep_points: int) -> None:
        self.rows = rows
        self._keep_points = keep_points
        self._stride = 1
        self._points: list[tuple[int, Tensor]] = []  # (n, ...) each
        self._block: list[tuple[Tensor, ...]] = []
        self._curves: list[list[tuple[Tensor, ...]]] = [[] for _ in rows]

    def add(self, step: int, x: Tensor, *curves: Tensor) -> None:
        """One step of every walk: points ``(n, ...)``, curve values ``(n, ...)`` each."""
        if step % self._stride == 0:
            if len(self._points) >= self._keep_points - 1:  # one place is for the last point
                self._stride *= 2
                self._points = self._points[::2]
            if step % self._stride == 0:
                self._points.append((step, x))
        log_probs, *others = curves
        self._block.append((log_probs.float(), *others))

    def flush(self) -> None:
        """Move the curves since the last flush to the CPU."""
        block = [torch.stack(values, dim=1).cpu() for values in zip(*self._block, strict=True)]
        for i, pieces in enumerate(self._curves):
            pieces.append(tuple(values[i] for values in block))
        self._block = []

    def select(self, rest: Tensor) -> None:
        """Go on with some of the walks only."""
        kept = rest.tolist()
        self.rows = [self.rows[i] for i in kept]
        self._curves = [self._curves[i] for i in kept]
        self._points = [(step, x[rest]) for step, x in self._points]

    def path(
        self,
        i: int,
        terms: Terms,
        status: PathStatus,
        steps: int,
        last: Tensor,  # (...)
        end: Tensor | None,  # (...)
    ) -> SinglePath:
        """The i-th walk, which ended after ``steps`` steps at ``last``."""
        log_probs, distance, horizontality, length = (
            torch.cat(pieces) for pieces in zip(*self._curves[i], strict=True)
        )
        points = [(step, x[i]) for step, x in self._points if step < steps] + [(steps, last)]
        row = self.rows[i]
        return SinglePath(
            kind=terms.kind,
            points=torch.stack([x for _, x in points]).cpu(),
            point_steps=torch.tensor([step for step, _ in points]),
            log_probs=log_probs[: steps + 1],
            distance=distance[: steps + 1],
            horizontality=horizontality[:steps],
            fisher_rao_length=length[: steps + 1],
            status=status,
            end=None if end is None else end.cpu(),
            step_size=float(terms.step_size[row]),
            threshold=None if terms.threshold is None else float(terms.threshold[row]),
            normalization=terms.normalization,
        )
