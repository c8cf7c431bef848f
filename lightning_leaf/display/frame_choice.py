"""The choice of the points of a path that are shown as frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_leaf.paths.single_path import SinglePath

MAX_FRAMES = 13
"""Largest number of frames of a path, without its destination."""


def frame_rows(path: SinglePath, count: int = MAX_FRAMES) -> list[int]:
    """Return the rows of ``path.points`` to show as frames, in ascending order.

    The frames are equally spaced in s = t / T + ℓ / L, with t the step of a point, ℓ the Fisher–Rao
    length from the start to it, and T and L their values at the end of the path. Frames are
    therefore dense where the prediction changes, and also cover parts where it does not change. The
    first and the last point are always included.

    Args:
        path: The path.
        count: Largest number of frames.
    """
    steps = path.point_steps.numpy()
    length = path.fisher_rao_length.nan_to_num().numpy()[steps]
    position = _share(steps) + _share(length)  # (F,), from 0 to 2
    count = min(count, len(steps))
    rows = [0]
    for k in range(1, count):
        nearest = int(np.abs(position - position[-1] * k / (count - 1)).argmin())
        # All rows are different, and enough rows are left for the frames that follow.
        rows.append(min(max(nearest, rows[-1] + 1), len(steps) - count + k))
    rows[-1] = len(steps) - 1
    return rows


def _share(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values from 0 at the first to 1 at the last; zeros if they are equal."""
    total = float(values[-1] - values[0])
    return (values - values[0]) / total if total > 0 else np.zeros(len(values))
