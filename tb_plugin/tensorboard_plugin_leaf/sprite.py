"""The frames of a path as one PNG: a sheet of equal tiles, row by row, without loss."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from tensorboard_plugin_leaf.snapshot import Array, SnapshotError

MAX_SHEET_BYTES = 2**26


def sheet_columns(tiles: int, height: int, width: int) -> int:
    """Columns of the sheet of `tiles` tiles, (`height`, `width`) pixels each.

    The sheet is about as high as it is wide, so that neither side meets a limit of a browser.
    The answer is a part of the schema: a reader cuts the sheet by it.
    """
    return min(tiles, max(1, math.ceil(math.sqrt(tiles * height / width))))


def encode_sheet(tiles: Array) -> bytes:
    """(T, H, W) or (T, H, W, 3) uint8 tiles as a PNG sheet.

    Raises:
        SnapshotError: If the sheet would be larger than any reader accepts.
    """
    count, height, width = tiles.shape[:3]
    columns = sheet_columns(count, height, width)
    rows = -(-count // columns)
    _check_size(rows * columns * height * width * _channels(tiles.shape))
    padded = np.zeros((rows * columns, *tiles.shape[1:]), np.uint8)
    padded[:count] = tiles
    grid = padded.reshape(rows, columns, *tiles.shape[1:])  # (R, k, H, W[, 3])
    sheet = grid.swapaxes(1, 2).reshape(rows * height, columns * width, *tiles.shape[3:])
    png = io.BytesIO()
    Image.fromarray(sheet).save(png, format="PNG")
    return png.getvalue()


def decode_sheet(png: bytes, shape: tuple[int, ...]) -> Array:
    """The tiles of a sheet, `shape` (T, H, W) or (T, H, W, 3); inverse of `encode_sheet`.

    Raises:
        SnapshotError: If the sheet is too large or does not hold tiles of this shape. Other
            errors of Pillow pass through.
    """
    # Opening reads the header alone; pixels are decoded only after its size is known to fit.
    with _open(png, shape) as image:
        sheet = np.asarray(image)
    count, height, width = shape[:3]
    columns = sheet_columns(count, height, width)
    grid = sheet.reshape(-1, height, columns, width, *shape[3:])  # (R, H, k, W[, 3])
    return np.ascontiguousarray(grid.swapaxes(1, 2).reshape(-1, *shape[1:])[:count])


def check_sheet(png: bytes, shape: tuple[int, ...]) -> None:
    """Raise what `decode_sheet` would raise, as far as the header of the PNG tells."""
    _open(png, shape).close()


def _open(png: bytes, shape: tuple[int, ...]) -> Image.Image:
    count, height, width = shape[:3]
    columns = sheet_columns(count, height, width)
    rows = -(-count // columns)
    _check_size(rows * columns * height * width * _channels(shape))
    expected = ("RGB" if len(shape) == 4 else "L", (columns * width, rows * height))
    image = Image.open(io.BytesIO(png), formats=("PNG",))
    if (image.mode, image.size) != expected:
        raise SnapshotError(
            f"sprite sheet: expected {expected[0]} of {expected[1]} pixels, "
            f"got {image.mode} of {image.size}."
        )
    return image


def _channels(shape: tuple[int, ...]) -> int:
    return shape[3] if len(shape) == 4 else 1


def _check_size(size: int) -> None:
    if size > MAX_SHEET_BYTES:
        raise SnapshotError(
            f"sprite sheet: expected at most {MAX_SHEET_BYTES} bytes of pixels, got {size}. "
            "Keep fewer or smaller frames."
        )
