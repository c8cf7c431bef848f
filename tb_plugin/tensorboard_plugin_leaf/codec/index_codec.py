"""The index of a snapshot as JSON: the data for the list of snapshots, no curves and frames."""

from __future__ import annotations

import math

import numpy as np

from tensorboard_plugin_leaf.codec.json_fields import (
    dump,
    from_json_fields,
    load,
    to_json_fields,
    to_json_number,
)
from tensorboard_plugin_leaf.codec.untrusted import raises_only_snapshot_errors
from tensorboard_plugin_leaf.schema.path import PathIndex, PathRecord, PathScalars
from tensorboard_plugin_leaf.schema.snapshot import Snapshot, SnapshotIndex, SnapshotScalars


def encode_index(snapshot: Snapshot) -> bytes:
    """Return the JSON index of a snapshot.

    Raises:
        SnapshotError: If it is larger than :func:`decode_index` accepts.
    """
    paths = [
        to_json_fields(path, PathScalars)
        | {"mean_horizontality": to_json_number(mean_horizontality(path))}
        for path in snapshot.paths
    ]
    return dump(to_json_fields(snapshot, SnapshotScalars) | {"paths": paths})


@raises_only_snapshot_errors
def decode_index(content: bytes) -> SnapshotIndex:
    """Return the index that :func:`encode_index` encoded.

    Raises:
        SnapshotError: If ``content`` is damaged, or a newer version wrote it.
    """
    values = load(content)
    paths = tuple(
        PathIndex(
            **from_json_fields(path, PathScalars),
            mean_horizontality=float(path["mean_horizontality"]),
        )
        for path in values["paths"]
    )
    return SnapshotIndex(**from_json_fields(values, SnapshotScalars), paths=paths)


def mean_horizontality(path: PathRecord) -> float:
    """Return the mean of ``path.horizontality`` over the path steps; NaN if all are unknown.

    The curve is thinned: point i stands for the path steps up to point i + 1. With the steps k_i
    and the values h_i of the curve, the mean over the known values is::

        Σ_i (k_{i+1} − k_i) h_i / Σ_i (k_{i+1} − k_i)
    """
    weights = np.diff(path.curve_steps)  # (S - 1,)
    values = path.horizontality[:-1].astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        return math.nan
    return float(np.average(values[known], weights=weights[known]))
