"""The order of names that contain numbers."""

from __future__ import annotations

import re
import unicodedata


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sorting key that puts ``version_2`` before ``version_10``.

    Numbers may have any length: they are compared as strings of digits, in linear time.

    Example:
        >>> from tensorboard_plugin_leaf.store.natural_order import natural_order
        >>> sorted(["version_10", "version_2"], key=natural_order)
        ['version_2', 'version_10']
    """
    parts = re.split(r"(\d+)", name)
    parts[1::2] = map(_digits, parts[1::2])
    return [(len(part) if odd % 2 else 0, part) for odd, part in enumerate(parts)]


def _digits(number: str) -> str:
    return "".join(str(unicodedata.decimal(digit)) for digit in number).lstrip("0")
