"""Synthetic training curves with the tags of the monitor."""

from __future__ import annotations

import math
from typing import Any


def write_training_curves(
    writer: Any, *, initial: float = 0.005, steps: int = 3000, points: int = 60
) -> None:
    """Write a trace that rises and then falls, decreasing ranks and a tangent dimension of 9."""
    for point in range(points + 1):
        progress = point / points
        median = initial * (1 + 160 * progress * math.exp(-8 * progress)) * math.exp(-3 * progress)
        values = {
            "trace_median": median,
            "trace_mean": 6 * median + 10 * initial * progress,
            "trace_ratio": median / initial,
            "effective_rank_entropy": 2 + 6 * math.exp(-9 * progress),
            "effective_rank_stable": 1 + 2 * math.exp(-9 * progress),
            "tangent_dimension": 9.0,
        }
        for name, value in values.items():
            writer.add_scalar(f"leaf/{name}", value, round(progress * steps))
