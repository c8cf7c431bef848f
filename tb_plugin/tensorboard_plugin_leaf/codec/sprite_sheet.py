"""The frames of a path as one lossless PNG: a sprite sheet of equal tiles, row by row."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.fields import Array

MAX_SHEET_BYTES = 2**26


def sheet_columns(tiles: int, height: int, width: int) -> int:
    """Return the number of columns of a sheet.

    For T tiles of H × W pixels it is min(T, max(1, ⌈√(T·H/W)⌉)). The sheet is then about as high
    as it is wide, and neither side reaches the limits of a browser. Readers cut the sheet by this
    number, therefore the formula is part of the schema.

    Args:
        tiles: Number of tiles T.
        height: Height H of a tile in pixels.
        width: Width W of a tile in pixels.
    """
    return min(tiles, max(1, math.ceil(math.sqrt(tiles * height / width))))


def encode_sheet(tiles: Array) -> bytes:
    """Return a PNG sheet of tiles.

    Args:
        tiles: (T, H, W) or (T, H, W, 3) uint8.

    Raises:
        SnapshotError: If the sheet is larger than :func:`decode_sheet` accepts.
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
    """Return the tiles of a sheet; the inverse of :func:`encode_sheet`.

    Args:
        png: The PNG sheet.
        shape: (T, H, W) or (T, H, W, 3).

    Raises:
        SnapshotError: If the sheet is too large or its size differs from that of such tiles.
            Errors of Pillow are not converted.
    """
    # `_open` reads only the header and checks the size. The pixels are decoded here.
    with _open(png, shape) as image:
        sheet = np.asarray(image)
    count, height, width = shape[:3]
    columns = sheet_columns(count, height, width)
    grid = sheet.reshape(-1, height, columns, width, *shape[3:])  # (R, H, k, W[, 3])
    return np.ascontiguousarray(grid.swapaxes(1, 2).reshape(-1, *shape[1:])[:count])


def check_sheet(png: bytes, shape: tuple[int, ...]) -> None:
    """Check the header of a sheet, without decoding its pixels.

    Args:
        png: The PNG sheet.
        shape: (T, H, W) or (T, H, W, 3).

    Raises:
        SnapshotError: As :func:`decode_sheet`.
    """
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
