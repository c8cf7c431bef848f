"""What the routes answer: pure functions from data to JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorboard_plugin_leaf.snapshot import Array, PathRecord, PathScalars
from tensorboard_plugin_leaf.sprite import sheet_columns
from tensorboard_plugin_leaf.store import Point, Run, StoredSnapshot


def list_answer(runs: Sequence[Run]) -> dict[str, Any]:
    """The answer of `snapshots`."""
    return {
        "runs": [
            {
                "run": run.name,
                "snapshots": [_snapshot(stored) for stored in run.snapshots],
                "damaged": [{"tag": tag, "message": text} for tag, text in run.damaged.items()],
                "scalars": list(run.scalars),
            }
            for run in runs
        ]
    }


def path_answer(path: PathRecord) -> dict[str, Any]:
    """The answer of `path`."""
    scalars = {
        field.name: finite_or_none(getattr(path, field.name))
        for field in dataclasses.fields(PathScalars)
    }
    return scalars | {
        "classes": path.classes,
        "curve_steps": path.curve_steps.tolist(),
        "probabilities": _numbers(path.probabilities.T),  # (K, S): one curve a class
        "distance": _numbers(path.distance),
        "horizontality": _numbers(path.horizontality),
        "fisher_rao_length": _numbers(path.fisher_rao_length),
        "entropy": _numbers(path.entropy),
        "frame_steps": path.frame_steps.tolist(),
        "frame_labels": path.frame_labels,
        "frame_probabilities": _numbers(path.frame_probabilities),
        "frames": _frames(path),
    }


def scalars_answer(points: Sequence[Point]) -> dict[str, Any]:
    """The answer of `scalars`."""
    return {
        "steps": [point.step for point in points],
        "wall_times": [finite_or_none(point.wall_time) for point in points],
        "values": [finite_or_none(point.value) for point in points],
    }


def finite_or_none(value: Any) -> Any:
    """`value`, or `None` for NaN and infinity, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _snapshot(stored: StoredSnapshot) -> dict[str, Any]:
    index = dataclasses.asdict(stored.index)
    # The store has left out what is superseded; the page needs no second opinion.
    del index["session_start_step"]
    paths = [
        {name: finite_or_none(value) for name, value in path.items()} for path in index["paths"]
    ]
    wall_time = finite_or_none(stored.wall_time)
    return index | {"tag": stored.tag, "wall_time": wall_time, "paths": paths}


def _frames(path: PathRecord) -> dict[str, Any]:
    count = len(path.frames)
    has_destination = path.destination_frame is not None
    if path.frames.dtype == np.uint8:
        height, width = path.frames.shape[1:3]
        return {
            "type": "image",
            "height": height,
            "width": width,
            "count": count,
            "destination": has_destination,
            "columns": sheet_columns(count + has_destination, height, width),
        }
    channels = path.frames.shape[1] if path.frames.ndim == 3 else 1
    length = path.frames.shape[-1]
    return {
        "type": "signal",
        "channels": channels,
        "length": length,
        "values": _numbers(path.frames.reshape(count, channels, length)),
        "destination": None
        if path.destination_frame is None
        else _numbers(path.destination_frame.reshape(channels, length)),
    }


def _numbers(array: Array) -> Any:
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    # Seven digits say all that float32 knows; the shortest form of a float64 takes up to twenty.
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in array.tolist()]
