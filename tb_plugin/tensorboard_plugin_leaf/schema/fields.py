"""Checks of the types and shapes of dataclass fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tensorboard_plugin_leaf.schema.errors import SnapshotError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# The largest integer that a browser reads from JSON without rounding.
MAX_INTEGER: Final = 2**53 - 1

Array = npt.NDArray[Any]


def expect(condition: bool, field: str, expected: str, got: str | Callable[[], str]) -> None:
    """Raise unless ``condition`` holds.

    Args:
        condition: Whether the field has a valid value.
        field: Name of the field.
        expected: Description of a valid value.
        got: Description of the value, shortened to 200 characters in the message. A function
            returns a description that is slow to make, and is called only for an invalid value.

    Raises:
        SnapshotError: If ``condition`` is false.
    """
    if not condition:
        description = got if isinstance(got, str) else got()
        # A value from a damaged file may have any length.
        raise SnapshotError(f"{field}: expected {expected}, got {description:.200}.")


def lazy_description(value: object) -> Callable[[], str]:
    """Return a function that describes ``value`` by its type and the start of its ``repr``."""
    return lambda: f"{type(value).__name__} {value!r:.80}"


def check_plain_fields(record: DataclassInstance) -> None:
    """Check that every string, number and tuple in ``record`` has its declared type.

    Fields of other types, such as arrays, are ignored.

    Raises:
        SnapshotError: If a field has another type.
    """
    for name, expected, is_valid in _rules(type(record)):
        value = getattr(record, name)
        if not is_valid(value):
            expect(False, name, expected, lazy_description(value))


@cache
def _rules(kind: type[DataclassInstance]) -> list[tuple[str, str, Callable[[Any], bool]]]:
    # A list of thousands of snapshots checks each of their paths.
    rules = [(field.name, _RULES.get(str(field.type))) for field in fields(kind)]
    return [(name, *rule) for name, rule in rules if rule is not None]


def check_array(
    field: str, array: Array, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
) -> None:
    """Check that ``array`` is a numpy array of this shape and type.

    Raises:
        SnapshotError: If it is not.
    """
    expected = f"a numpy array of {np.dtype(dtype)} and shape {shape}"
    expect(isinstance(array, np.ndarray), field, expected, type(array).__name__)
    is_valid = array.dtype == dtype and array.shape == shape
    expect(is_valid, field, expected, f"{array.dtype} and shape {array.shape}")


def check_path_steps(field: str, steps: Array, last: int) -> int:
    """Check that ``steps`` are increasing int32 path steps from 0 to ``last``.

    Returns:
        The number of steps in the array.

    Raises:
        SnapshotError: If they are not.
    """
    expected = f"an increasing int32 array from 0 to steps = {last}"
    expect(isinstance(steps, np.ndarray), field, expected, type(steps).__name__)
    is_vector = steps.dtype == np.int32 and steps.ndim == 1 and steps.size > 0
    expect(is_vector, field, expected, f"{steps.dtype} and shape {steps.shape}")
    increases = steps[0] == 0 and steps[-1] == last and bool((steps[1:] > steps[:-1]).all())
    expect(increases, field, expected, lambda: np.array2string(steps, threshold=6))
    return len(steps)


def check_frames(frames: Array, count: int) -> None:
    """Check that ``frames`` are ``count`` images, vectors or signals.

    Raises:
        SnapshotError: If they are not.
    """
    expected = (
        f"{count} frames: uint8 (F, H, W) or (F, H, W, 3), or float32 (F, n) or (F, channels, n)"
    )
    expect(isinstance(frames, np.ndarray), "frames", expected, type(frames).__name__)
    is_image = frames.dtype == np.uint8 and (
        frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)
    )
    is_signal = frames.dtype == np.float32 and frames.ndim in (2, 3)
    is_valid = (is_image or is_signal) and frames.shape[0] == count and 0 not in frames.shape
    expect(is_valid, "frames", expected, f"{frames.dtype} and shape {frames.shape}")


def _is_natural(value: object) -> bool:
    # In Python, a bool is an int.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def _is_number(value: object) -> bool:
    # A larger integer may have no float of the same value.
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
    )


# The annotation of a field: the description of its type in an error, and the check.
_RULES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "str": ("a str", lambda value: isinstance(value, str)),
    "bool": ("a bool", lambda value: isinstance(value, bool)),
    "int": ("an int >= 0", _is_natural),
    "int | None": ("an int >= 0 or None", lambda value: value is None or _is_natural(value)),
    "float": ("a float", _is_number),
    "tuple[int, ...]": (
        "a tuple of ints >= 0",
        lambda value: isinstance(value, tuple) and all(map(_is_natural, value)),
    ),
    "tuple[str, ...]": (
        "a tuple of str",
        lambda value: isinstance(value, tuple) and all(isinstance(item, str) for item in value),
    ),
}
