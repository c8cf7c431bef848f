"""Snapshots as bytes: the one place that knows their layout.

A snapshot becomes an index, JSON that suffices to list it, and one blob a path, so that opening
a path reads one blob. A blob is a zip archive that `numpy.load` opens too: `path.json` for plain
values, one `.npy` for each array, and `frames.png`, a sheet of tiles (see
`tensorboard_plugin_leaf.sprite`), where the frames are images.

Event files come from anywhere. Decoding raises `SnapshotError` and nothing else, and checks every
declared size before it allocates (see `tensorboard_plugin_leaf.archive`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

import numpy as np

from tensorboard_plugin_leaf.archive import (
    npy,
    open_archive,
    read_array,
    read_member,
    write_archive,
)
from tensorboard_plugin_leaf.snapshot import (
    MAX_CURVE_POINTS,
    SCHEMA_VERSION,
    Array,
    NewerSchemaError,
    PathIndex,
    PathRecord,
    PathScalars,
    Snapshot,
    SnapshotError,
    SnapshotIndex,
    SnapshotScalars,
)
from tensorboard_plugin_leaf.sprite import check_sheet, decode_sheet, encode_sheet

# Python makes objects of some 25 times the size of JSON that means harm.
MAX_JSON_BYTES: Final = 2**20

_JSON_MEMBER = "path.json"
_SHEET_MEMBER = "frames.png"
_CURVES = ("distance", "horizontality", "fisher_rao_length", "entropy")
_FRAME_ARRAYS = ("frame_steps", "frame_probabilities")
_ARRAYS = ("curve_steps", "probabilities", *_CURVES, *_FRAME_ARRAYS)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def encode(snapshot: Snapshot) -> tuple[bytes, list[bytes]]:
    """The JSON index of a snapshot, and one blob for each of its paths.

    Raises:
        SnapshotError: If the index or a path is larger than `decode` accepts.
    """
    index = _plain(snapshot, SnapshotScalars)
    index["schema"] = SCHEMA_VERSION
    index["paths"] = [
        _plain(path, PathScalars) | {"mean_horizontality": _json_number(mean_horizontality(path))}
        for path in snapshot.paths
    ]
    return _dump(index), [_encode_path(path) for path in snapshot.paths]


def mean_horizontality(path: PathRecord) -> float:
    """Mean of `path.horizontality` over the steps taken; NaN if it is known of none.

    Each point of the thinned curve stands for the steps up to the next one.
    """
    weights = np.diff(path.curve_steps)  # (S - 1,)
    values = path.horizontality[:-1].astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        return math.nan
    return float(np.average(values[known], weights=weights[known]))


def _only_snapshot_errors(function: Callable[_P, _T]) -> Callable[_P, _T]:
    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except SnapshotError:
            raise
        # Foreign bytes reach zipfile, zlib, json, numpy and Pillow, whose errors have no common
        # base and differ between versions.
        except Exception as error:
            raise SnapshotError(f"expected bytes of LEAF, got {error!r:.200}.") from error

    return guarded


@_only_snapshot_errors
def decode_index(content: bytes) -> SnapshotIndex:
    """What a list of snapshots needs, from the JSON index.

    Raises:
        SnapshotError: If it is damaged, or was written by a newer version.
    """
    index = _load(content)
    paths = tuple(
        PathIndex(
            **_scalars(path, PathScalars), mean_horizontality=_number(path["mean_horizontality"])
        )
        for path in index["paths"]
    )
    return SnapshotIndex(**_scalars(index, SnapshotScalars), paths=paths)


@_only_snapshot_errors
def decode_path(blob: bytes, *, pixels: bool = True) -> PathRecord:
    """One path, from its blob.

    Args:
        blob: As `encode` made it.
        pixels: Whether to decode images; without, all of them are black, and take no memory.

    Raises:
        SnapshotError: If it is damaged, or was written by a newer version.
    """
    with open_archive(blob) as archive:
        values = _read_values(archive)
        arrays = _read_arrays(archive, len(values["classes"]), len(values["frame_labels"]))
        frames, destination_frame = _read_frames(archive, values, pixels)
    return PathRecord(
        **_scalars(values, PathScalars),
        classes=tuple(values["classes"]),
        frame_labels=tuple(values["frame_labels"]),
        **arrays,
        frames=frames,
        destination_frame=destination_frame,
    )


@_only_snapshot_errors
def read_sheet(blob: bytes) -> bytes | None:
    """The PNG sheet of the frames of a path as it lies in its blob; `None` if it has no images.

    Raises:
        SnapshotError: If it is damaged, or was written by a newer version.
    """
    with open_archive(blob) as archive:
        values = _read_values(archive)
        shape = _sheet_shape(values)
        if shape is None:
            return None
        sheet = read_member(archive, _SHEET_MEMBER)
    # A browser will trust the header of the PNG.
    check_sheet(sheet, shape)
    return sheet


def decode(index: bytes, blobs: Sequence[bytes]) -> Snapshot:
    """The snapshot that `encode` made `index` and `blobs` of.

    Raises:
        SnapshotError: If they are damaged, do not belong together, or were written by a newer
            version.
    """
    header = decode_index(index)
    if len(blobs) != len(header.paths):
        raise SnapshotError(
            f"paths: expected {len(header.paths)} blobs as the index says, got {len(blobs)}."
        )
    scalars = {
        field.name: getattr(header, field.name) for field in dataclasses.fields(SnapshotScalars)
    }
    return Snapshot(**scalars, paths=tuple(map(decode_path, blobs)))


def _encode_path(path: PathRecord) -> bytes:
    is_image = path.frames.dtype == np.uint8
    values = _plain(path, PathScalars) | {
        "schema": SCHEMA_VERSION,
        "classes": path.classes,
        "frame_labels": path.frame_labels,
        "image_shape": path.frames.shape[1:] if is_image else None,
        "has_destination_frame": path.destination_frame is not None,
    }
    frames = path.frames  # (F, ...)
    if path.destination_frame is not None:
        frames = np.concatenate([frames, path.destination_frame[None]])  # (F + 1, ...)
    members = {_JSON_MEMBER: _dump(values)}
    members |= {f"{name}.npy": npy(getattr(path, name)) for name in _ARRAYS}
    members |= {_SHEET_MEMBER: encode_sheet(frames)} if is_image else {"frames.npy": npy(frames)}
    return write_archive(members)


def _read_values(archive: zipfile.ZipFile) -> dict[str, Any]:
    values = _load(read_member(archive, _JSON_MEMBER, MAX_JSON_BYTES))
    for name in ("classes", "frame_labels"):
        if not isinstance(values[name], list):
            raise SnapshotError(f"{name}: expected a list, got {type(values[name]).__name__}.")
    return values


def _read_arrays(archive: zipfile.ZipFile, classes: int, frames: int) -> dict[str, Any]:
    # The curves and frames that are known tell how large every other array can be.
    arrays = {"curve_steps": read_array(archive, "curve_steps", MAX_CURVE_POINTS)}
    points = arrays["curve_steps"].size
    arrays["probabilities"] = read_array(archive, "probabilities", points * classes)
    arrays |= {name: read_array(archive, name, points) for name in _CURVES}
    return arrays | {name: read_array(archive, name, frames) for name in _FRAME_ARRAYS}


def _sheet_shape(values: dict[str, Any]) -> tuple[int, ...] | None:
    if values["image_shape"] is None:
        return None
    shape = tuple(map(int, values["image_shape"]))
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise SnapshotError(
            f"image_shape: expected (H, W) or (H, W, 3), got {values['image_shape']!r:.80}."
        )
    count = len(values["frame_labels"]) + bool(values["has_destination_frame"])
    return (count, *shape)


def _read_frames(
    archive: zipfile.ZipFile, values: dict[str, Any], pixels: bool
) -> tuple[Array, Array | None]:
    shape = _sheet_shape(values)
    if shape is None:
        frames = read_array(archive, "frames")
    elif pixels:
        frames = decode_sheet(read_member(archive, _SHEET_MEMBER), shape)
    else:
        check_sheet(read_member(archive, _SHEET_MEMBER), shape)
        frames = np.broadcast_to(np.uint8(0), shape)
    return (frames[:-1], frames[-1]) if values["has_destination_frame"] else (frames, None)


def _plain(record: PathScalars | SnapshotScalars, kind: type) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: _json_number(getattr(record, name)) for name in names}


def _json_number(value: Any) -> Any:
    # Strict JSON has no NaN and no infinity.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float:
    return float(value)


def _scalars(values: dict[str, Any], kind: type) -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = values[field.name]
        if field.type == "float":
            value = _number(value)
        elif str(field.type).startswith("tuple"):
            value = tuple(value)
        scalars[field.name] = value
    return scalars


def _dump(values: dict[str, Any]) -> bytes:
    content = json.dumps(values, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(content) > MAX_JSON_BYTES:
        raise SnapshotError(
            f"expected names that take at most {MAX_JSON_BYTES} bytes together, got "
            f"{len(content)}. Keep fewer paths, or give classes shorter names."
        )
    return content


def _load(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_JSON_BYTES:
        raise SnapshotError(f"expected at most {MAX_JSON_BYTES} bytes of JSON, got {len(content)}.")
    values = json.loads(content)
    if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
        raise SnapshotError("expected JSON with a schema version, got none.")
    if values["schema"] > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"It was written by a newer version of LEAF (schema {values['schema']!r:.20}; this "
            f"plugin reads up to {SCHEMA_VERSION}). To see it, upgrade the plugin with "
            "`pip install -U tensorboard-plugin-leaf`, and start TensorBoard again."
        )
    return cast(dict[str, Any], values)
