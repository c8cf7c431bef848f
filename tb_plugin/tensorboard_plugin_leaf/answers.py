"""What the routes answer: pure functions from data to JSON values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from tensorboard_plugin_leaf.resumed import Point, StoredSnapshot
from tensorboard_plugin_leaf.snapshot import (
    Array,
    PathRecord,
    PathScalars,
    SnapshotError,
    SnapshotIndex,
)
from tensorboard_plugin_leaf.sprite import sheet_columns
from tensorboard_plugin_leaf.store import Run

# Twenty megabytes of JSON: 64 stereo signals of a second, or a thousand points of 1000 classes.
MAX_NUMBERS: Final = 2**21

# The text of an index, as long as the store keeps the index: most of a list never changes.
_texts: WeakKeyDictionary[SnapshotIndex, str] = WeakKeyDictionary()


# `json.dumps` would make an encoder for each of a list's thousands of lines.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def to_json(answer: Mapping[str, Any]) -> str:
    """`answer` as strict JSON, which has no NaN."""
    return _ENCODER.encode(answer)


def list_answer(runs: Sequence[Run]) -> str:
    """The answer of `snapshots`, as JSON."""
    return f'{{"runs":[{",".join(map(_run, runs))}]}}'


def path_answer(path: PathRecord) -> dict[str, Any]:
    """The answer of `path`.

    Raises:
        SnapshotError: If it holds more than `MAX_NUMBERS` numbers.
    """
    numbers = path.probabilities.size + (path.frames.size if path.frames.dtype != np.uint8 else 0)
    if numbers > MAX_NUMBERS:
        raise SnapshotError(
            f"It holds {numbers} numbers, more than the {MAX_NUMBERS} that a page can show: keep "
            "fewer or smaller frames, or fewer classes."
        )
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


def _run(run: Run) -> str:
    rest = to_json(
        {
            "run": run.name,
            "damaged": [{"tag": tag, "message": text} for tag, text in run.damaged.items()],
            "scalars": list(run.scalars),
        }
    )
    return f'{{"snapshots":[{",".join(map(_snapshot, run.snapshots))}],{rest[1:]}'


def _snapshot(stored: StoredSnapshot) -> str:
    text = _texts.get(stored.index)
    if text is None:
        text = _texts[stored.index] = _index(stored.index)
    rest = to_json({"tag": stored.tag, "wall_time": finite_or_none(stored.wall_time)})
    return f"{text[:-1]},{rest[1:]}"


def _index(index: SnapshotIndex) -> str:
    values = dataclasses.asdict(index)
    # The store has left out what is superseded; the page needs no second opinion.
    del values["session_start_step"]
    values["paths"] = [
        {name: finite_or_none(value) for name, value in path.items()} for path in values["paths"]
    ]
    return to_json(values)


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
