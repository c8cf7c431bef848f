"""Snapshots as bytes: the one place that knows their layout.

A snapshot becomes an index, JSON that suffices to list it, and one blob a path, so that opening
a path reads one blob. A blob is a zip archive that `numpy.load` opens too: `path.json` for plain
values, one `.npy` for each array, and `frames.png`, a sheet of tiles (see
`tensorboard_plugin_leaf.sprite`), where the frames are images.

Event files come from anywhere. Decoding raises `SnapshotError` and nothing else, and checks every
declared size before it allocates.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

import numpy as np

from tensorboard_plugin_leaf.snapshot import (
    SCHEMA_VERSION,
    Array,
    PathIndex,
    PathRecord,
    PathScalars,
    Snapshot,
    SnapshotError,
    SnapshotIndex,
    SnapshotScalars,
)
from tensorboard_plugin_leaf.sprite import decode_sheet, encode_sheet

MAX_BLOB_BYTES: Final = 2**26

_JSON_MEMBER = "path.json"
_SHEET_MEMBER = "frames.png"
_ARRAYS = (
    "curve_steps",
    "probabilities",
    "distance",
    "horizontality",
    "fisher_rao_length",
    "entropy",
    "frame_steps",
    "frame_probabilities",
)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A zip archive demands a date; a constant one keeps the bytes a function of the snapshot.
_DATE = (1980, 1, 1, 0, 0, 0)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def encode(snapshot: Snapshot) -> tuple[bytes, list[bytes]]:
    """The JSON index of a snapshot, and one blob for each of its paths.

    Raises:
        SnapshotError: If a path is larger than `decode` accepts.
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
            raise SnapshotError(
                f"The snapshot is damaged or was not written by LEAF ({error!r:.200})."
            ) from error

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
def decode_path(blob: bytes) -> PathRecord:
    """One path, from its blob.

    Raises:
        SnapshotError: If it is damaged, or was written by a newer version.
    """
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        values = _open_path(archive)
        arrays: dict[str, Any] = {name: _read_array(archive, name) for name in _ARRAYS}
        arrays["frames"], arrays["destination_frame"] = _read_frames(archive, values)
    return PathRecord(
        **_scalars(values, PathScalars),
        classes=tuple(values["classes"]),
        frame_labels=tuple(values["frame_labels"]),
        **arrays,
    )


@_only_snapshot_errors
def read_sheet(blob: bytes) -> bytes | None:
    """The PNG sheet of the frames of a path as it lies in its blob; `None` if it has no images.

    Raises:
        SnapshotError: If it is damaged, or was written by a newer version.
    """
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        values = _open_path(archive)
        return _read_member(archive, _SHEET_MEMBER) if values["image_shape"] is not None else None


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
    members |= {f"{name}.npy": _npy(getattr(path, name)) for name in _ARRAYS}
    members |= {_SHEET_MEMBER: encode_sheet(frames)} if is_image else {"frames.npy": _npy(frames)}

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            # A PNG is compressed already.
            method = zipfile.ZIP_STORED if name == _SHEET_MEMBER else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, compress_type=method)
        _check_members(archive)
    return buffer.getvalue()


def _open_path(archive: zipfile.ZipFile) -> dict[str, Any]:
    _check_members(archive)
    return _load(_read_member(archive, _JSON_MEMBER))


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > MAX_BLOB_BYTES:
        raise SnapshotError(
            f"path: expected at most {MAX_BLOB_BYTES} bytes, got {size}. "
            "Keep fewer or smaller frames."
        )
    # Other methods cannot be inflated piece by piece.
    if any(member.compress_type not in _METHODS for member in members):
        raise SnapshotError("path: expected members that are stored or deflated.")


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    # A read without a size would inflate a member beyond the size that it declares.
    with archive.open(name) as member:
        return member.read(archive.getinfo(name).file_size)


def _read_frames(archive: zipfile.ZipFile, values: dict[str, Any]) -> tuple[Array, Array | None]:
    if values["image_shape"] is None:
        frames = _read_array(archive, "frames")
    else:
        shape = tuple(map(int, values["image_shape"]))
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise SnapshotError(f"image_shape: expected (H, W) or (H, W, 3), got {shape}.")
        count = len(values["frame_labels"]) + bool(values["has_destination_frame"])
        frames = decode_sheet(_read_member(archive, _SHEET_MEMBER), (count, *shape))
    return (frames[:-1], frames[-1]) if values["has_destination_frame"] else (frames, None)


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.lib.format.write_array(buffer, np.ascontiguousarray(little_endian), allow_pickle=False)
    return buffer.getvalue()


def _read_array(archive: zipfile.ZipFile, name: str) -> Array:
    content = _read_member(archive, f"{name}.npy")
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise SnapshotError(f"{name}: expected version 1.0 of the npy format.")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.str not in ("<i4", "<f4") or fortran_order:
        raise SnapshotError(f"{name}: expected int32 or float32 in C order, got {dtype}.")
    # A view on the bytes that are there: whatever the header claims, nothing is allocated.
    array = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


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
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode("ascii")


def _load(content: bytes) -> dict[str, Any]:
    values = json.loads(content)
    if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
        raise SnapshotError("The snapshot was not written by LEAF: it has no schema version.")
    if values["schema"] > SCHEMA_VERSION:
        raise SnapshotError(
            f"The snapshot has schema version {values['schema']}, this plugin reads up to "
            f"{SCHEMA_VERSION}: upgrade it with `pip install -U tensorboard-plugin-leaf`."
        )
    return cast(dict[str, Any], values)
