"""Arrays of numbers as JSON, without an object for each number."""

from __future__ import annotations

import numpy as np

from tensorboard_plugin_leaf.schema.fields import Array

# Numbers that are objects at the same time.
_BLOCK = 2**14


def numbers_json(array: Array) -> str:
    """Return an array as nested JSON lists, with seven digits and ``null`` for NaN and infinity.

    Seven digits are the precision of float32. A float64 may take up to twenty.
    """
    if array.ndim > 1:
        return f"[{','.join(map(numbers_json, array))}]"
    blocks = (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))
    return f"[{','.join(map(_block, blocks))}]"


def _block(numbers: Array) -> str:
    values = tuple(numbers.tolist())
    if np.isfinite(numbers).all():
        return ("%.7g," * len(values) % values)[:-1]
    finite = np.isfinite(numbers).tolist()
    return ",".join(
        f"{value:.7g}" if is_finite else "null"
        for value, is_finite in zip(values, finite, strict=True)
    )
