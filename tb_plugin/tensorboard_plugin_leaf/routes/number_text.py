"""Arrays of numbers as JSON, without an object for each number or row."""

from __future__ import annotations

import math

from tensorboard_plugin_leaf.schema.fields import Array

# Numbers that are objects at the same time.
_BLOCK = 2**14


def numbers_json(array: Array) -> str:
    """Return an array as nested JSON lists, with seven digits and ``null`` for NaN and infinity.

    Seven digits are the precision of float32. A float64 may take up to twenty. The work depends on
    the number of elements, not on the shape: rows are formatted in blocks.
    """
    row_size = math.prod(array.shape[1:])
    if row_size > _BLOCK:
        return f"[{','.join(map(numbers_json, array))}]"
    row = _template(array.shape[1:])
    rows = _BLOCK // max(1, row_size)
    blocks = (array[start : start + rows] for start in range(0, len(array), rows))
    return f"[{','.join(_block(block, row) for block in blocks)}]"


def _template(shape: tuple[int, ...]) -> str:
    """Return the format of an array of this shape."""
    text = "%.7g"
    for length in reversed(shape):
        text = f"[{','.join([text] * length)}]"
    return text


def _block(block: Array, row: str) -> str:
    text = ",".join([row] * len(block)) % tuple(block.ravel().tolist())
    # No number contains these letters.
    return text.replace("-inf", "null").replace("inf", "null").replace("nan", "null")
