"""The JSON of the routes, as pure functions of the data."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tensorboard_plugin_leaf.codec.sprite_sheet import sheet_columns
from tensorboard_plugin_leaf.routes.number_text import numbers_json
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.path import CURVES, PathRecord, PathScalars
from tensorboard_plugin_leaf.store.entries import finite_or_none
from tensorboard_plugin_leaf.store.resumed import ScalarPoint
from tensorboard_plugin_leaf.store.run_list import ListedSnapshot, Run, RunList

# About 20 MB of JSON, for example 64 stereo signals of one second, or 1000 points of 1000 classes.
MAX_NUMBERS: Final = 2**21
# Lists in the JSON of a path: a thousand frames of a hundred channels, or all words of a language.
MAX_ROWS: Final = 2**17

# `json.dumps` would create an encoder for each of the thousands of entries of the list.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def to_json(values: Mapping[str, Any]) -> str:
    """Return ``values`` as strict JSON.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    return _ENCODER.encode(values)


def snapshots_json(listed: RunList) -> str:
    """Return the JSON of the route ``snapshots``."""
    runs = ",".join(map(_run, listed.runs))
    return f'{{"runs":[{runs}],"runs_omitted":{listed.omitted}}}'


def path_json(path: PathRecord, digest: str) -> str:
    """Return the JSON of the route ``path``.

    Args:
        path: The path.
        digest: The digest of its bytes.

    Raises:
        SnapshotError: If the path has more than ``MAX_NUMBERS`` probabilities and signal values, or
            more than ``MAX_ROWS`` classes, frames and channels of frames.
    """
    _check_size(path)
    scalars = {
        field.name: finite_or_none(getattr(path, field.name))
        for field in dataclasses.fields(PathScalars)
    }
    values = scalars | {
        "digest": digest,
        "classes": path.classes,
        "curve_steps": path.curve_steps.tolist(),
        "frame_steps": path.frame_steps.tolist(),
        "frame_labels": path.frame_labels,
    }
    arrays = {
        "probabilities": path.probabilities.T,  # (K, S), one curve for each class
        **{name: getattr(path, name) for name in CURVES},
        "frame_probabilities": path.frame_probabilities,
    }
    fields = {name: numbers_json(array) for name, array in arrays.items()}
    return _with_fields(values, fields | {"frames": _frames(path)})


def scalars_content(points: Sequence[ScalarPoint]) -> dict[str, Any]:
    """Return the content of the route ``scalars``."""
    return {
        "steps": [point.step for point in points],
        "wall_times": [finite_or_none(point.wall_time) for point in points],
        "values": [finite_or_none(point.value) for point in points],
    }


def _check_size(path: PathRecord) -> None:
    is_image = path.frames.dtype == np.uint8
    frames = len(path.frames) + (path.destination_frame is not None)
    channels = path.frames.shape[1] if path.frames.ndim == 3 and not is_image else 1
    values = 0 if is_image else frames * math.prod(path.frames.shape[1:])
    sizes = {
        "numbers": (path.probabilities.size + values, MAX_NUMBERS),
        "classes and channels of frames": (len(path.classes) + frames * channels, MAX_ROWS),
    }
    for name, (size, limit) in sizes.items():
        if size > limit:
            raise SnapshotError(
                f"expected at most {limit} {name}, the limit of the page, got {size}. "
                "Keep fewer or smaller frames, or fewer classes."
            )


def _run(run: Run) -> str:
    values = {
        "run": run.name,
        "omitted": run.omitted,
        "superseded": run.superseded,
        "damaged": [{"tag": tag, "message": text} for tag, text in run.damaged.items()],
        "damaged_omitted": run.damaged_omitted,
        "scalars": list(run.scalars),
        "scalars_omitted": run.scalars_omitted,
    }
    return _with_fields(values, {"snapshots": f"[{','.join(map(_snapshot, run.snapshots))}]"})


def _snapshot(listed: ListedSnapshot) -> str:
    rest = to_json({"tag": listed.tag, "wall_time": finite_or_none(listed.wall_time)})
    return f"{listed.entry[:-1]},{rest[1:]}"


def _frames(path: PathRecord) -> str:
    count = len(path.frames)
    has_destination = path.destination_frame is not None
    if path.frames.dtype == np.uint8:
        height, width = path.frames.shape[1:3]
        return to_json(
            {
                "type": "image",
                "height": height,
                "width": width,
                "count": count,
                "destination": has_destination,
                "columns": sheet_columns(count + has_destination, height, width),
            }
        )
    channels = path.frames.shape[1] if path.frames.ndim == 3 else 1
    length = path.frames.shape[-1]
    destination = path.destination_frame
    return _with_fields(
        {"type": "signal", "channels": channels, "length": length},
        {
            "values": numbers_json(path.frames.reshape(count, channels, length)),
            "destination": "null"
            if destination is None
            else numbers_json(destination.reshape(channels, length)),
        },
    )


def _with_fields(values: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    """Return the JSON of ``values``, and of ``fields``, which are JSON already."""
    texts = "".join(f',"{name}":{text}' for name, text in fields.items())
    return f"{to_json(values)[:-1]}{texts}}}"
