"""A path as one blob: a zip archive, which ``numpy.load`` can also open.

Its members are ``path.json`` for strings and numbers, one ``.npy`` file for each array, and
``frames.png``, a sprite sheet, if the frames are images.
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from tensorboard_plugin_leaf.codec.json_fields import (
    MAX_JSON_BYTES,
    dump,
    from_json_fields,
    load,
    to_json_fields,
)
from tensorboard_plugin_leaf.codec.sprite_sheet import check_sheet, decode_sheet, encode_sheet
from tensorboard_plugin_leaf.codec.untrusted import raises_only_snapshot_errors
from tensorboard_plugin_leaf.codec.zip_archive import (
    npy,
    open_archive,
    read_array,
    read_member,
    write_archive,
)
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.fields import Array
from tensorboard_plugin_leaf.schema.path import CURVES, MAX_CURVE_POINTS, PathRecord, PathScalars

_JSON_MEMBER = "path.json"
_SHEET_MEMBER = "frames.png"
_FRAME_ARRAYS = ("frame_steps", "frame_probabilities")
_ARRAYS = ("curve_steps", "probabilities", *CURVES, *_FRAME_ARRAYS)


def encode_path(path: PathRecord) -> bytes:
    """Return the blob of a path.

    Raises:
        SnapshotError: If it is larger than :func:`decode_path` accepts.
    """
    is_image = path.frames.dtype == np.uint8
    values = to_json_fields(path, PathScalars) | {
        "classes": path.classes,
        "frame_labels": path.frame_labels,
        "image_shape": path.frames.shape[1:] if is_image else None,
        "has_destination_frame": path.destination_frame is not None,
    }
    frames = path.frames  # (F, ...)
    if path.destination_frame is not None:
        frames = np.concatenate([frames, path.destination_frame[None]])  # (F + 1, ...)
    members = {_JSON_MEMBER: dump(values)}
    members |= {f"{name}.npy": npy(getattr(path, name)) for name in _ARRAYS}
    members |= {_SHEET_MEMBER: encode_sheet(frames)} if is_image else {"frames.npy": npy(frames)}
    return write_archive(members)


@raises_only_snapshot_errors
def decode_path(blob: bytes, *, pixels: bool = True) -> PathRecord:
    """Return the path that :func:`encode_path` encoded.

    Args:
        blob: The bytes of the path.
        pixels: Whether to decode images. If ``False``, all pixels are 0 and take no memory.

    Raises:
        SnapshotError: If ``blob`` is damaged, or a newer version wrote it.
    """
    with open_archive(blob) as archive:
        values = _read_values(archive)
        arrays = _read_arrays(archive, len(values["classes"]), len(values["frame_labels"]))
        frames, destination_frame = _read_frames(archive, values, pixels)
    return PathRecord(
        **from_json_fields(values, PathScalars),
        classes=tuple(values["classes"]),
        frame_labels=tuple(values["frame_labels"]),
        **arrays,
        frames=frames,
        destination_frame=destination_frame,
    )


@raises_only_snapshot_errors
def read_sheet(blob: bytes) -> bytes | None:
    """Return the PNG sprite sheet of a path, or ``None`` if its frames are not images.

    The pixels are not decoded.

    Raises:
        SnapshotError: If ``blob`` is damaged, or a newer version wrote it.
    """
    with open_archive(blob) as archive:
        values = _read_values(archive)
        shape = _sheet_shape(values)
        if shape is None:
            return None
        sheet = read_member(archive, _SHEET_MEMBER)
    # A browser allocates memory for the size in the header of the PNG.
    check_sheet(sheet, shape)
    return sheet


def _read_values(archive: zipfile.ZipFile) -> dict[str, Any]:
    values = load(read_member(archive, _JSON_MEMBER, MAX_JSON_BYTES))
    for name in ("classes", "frame_labels"):
        if not isinstance(values[name], list):
            raise SnapshotError(f"{name}: expected a list, got {type(values[name]).__name__}.")
    return values


def _read_arrays(archive: zipfile.ZipFile, classes: int, frames: int) -> dict[str, Any]:
    # The numbers of points, classes and frames limit the sizes of all other arrays.
    arrays = {"curve_steps": read_array(archive, "curve_steps", MAX_CURVE_POINTS)}
    points = arrays["curve_steps"].size
    arrays["probabilities"] = read_array(archive, "probabilities", points * classes)
    arrays |= {name: read_array(archive, name, points) for name in CURVES}
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
