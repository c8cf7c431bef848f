"""What a callback saw at one moment of training: a `Snapshot` of paths.

A snapshot holds plain strings, numbers and numpy arrays. Whoever writes it knows tensors and
trainers, whoever shows it knows browsers; they meet here. `tensorboard_plugin_leaf.encoding`
turns a snapshot into bytes and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION: Final = 1
PLUGIN_NAME: Final = "leaf"
MAX_CURVE_POINTS: Final = 1000
KINDS: Final = ("horizontal", "orthogonal")
STATUSES: Final = ("reached", "stalled", "out_of_steps", "non_finite")

# The tag of a snapshot prints its step with twelve digits.
MAX_STEP: Final = 10**12 - 1
# The largest integer that a browser reads from JSON without rounding.
MAX_INTEGER: Final = 2**53 - 1

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SESSION = re.compile(r"[0-9a-f]{16}")

Array = npt.NDArray[Any]


class SnapshotError(ValueError):
    """A snapshot cannot be built or read: wrong types or shapes, damage, or a newer schema."""


class NewerSchemaError(SnapshotError):
    """A snapshot was written by a newer version."""


@dataclass(frozen=True, eq=False)
class PathScalars:
    """What is known of a path without its curves and frames.

    Attributes:
        source: Label of the start, a class name.
        destination: Label of the destination; `""` for an orthogonal walk.
        source_index: Position of the start in its data set, if it has one.
        destination_index: Position of the destination in its data set, if it has one.
        status: `"reached"`, `"stalled"`, `"out_of_steps"` or `"non_finite"`.
        steps: Steps taken.
        start_distance: Horizontal: ‖destination - start‖. Orthogonal: 0.
        final_distance: Horizontal: the distance that remains. Orthogonal: the distance from the
            start.
        threshold: Horizontal: the distance that counts as reached. Orthogonal: NaN.
    """

    source: str
    destination: str
    source_index: int | None
    destination_index: int | None
    status: str
    steps: int
    start_distance: float
    final_distance: float
    threshold: float

    def __post_init__(self) -> None:
        check_types(self)
        _expect(self.status in STATUSES, "status", f"one of {STATUSES}", repr(self.status))


@dataclass(frozen=True, eq=False)
class PathIndex(PathScalars):
    """The line of one path in a list of snapshots.

    Attributes:
        mean_horizontality: Mean over the steps of the share of each displacement that lies in
            the tangent distribution, in [0, 1]; NaN if unknown.
    """

    mean_horizontality: float


@dataclass(frozen=True, eq=False)
class PathRecord(PathScalars):
    """One path: its curves and some of its points.

    Attributes:
        classes: The K names of the columns of `probabilities`; the last may be `"other"`.
        curve_steps: (S,) int32 steps of the curves: increasing, from 0 to `steps`,
            S <= `MAX_CURVE_POINTS`.
        probabilities: (S, K) float32.
        distance: (S,) float32, to the destination (horizontal) or from the start (orthogonal).
        horizontality: (S,) float32 in [0, 1] or NaN, of the step that leaves each point; the
            last value is repeated.
        fisher_rao_length: (S,) float32, cumulative.
        entropy: (S,) float32, in nats.
        frame_steps: (F,) int32 steps of the frames: increasing, from 0 to `steps`.
        frame_labels: (F,) predicted class name of each frame.
        frame_probabilities: (F,) float32, its probability.
        frames: (F, H, W) or (F, H, W, 3) uint8 images, or (F, n) or (F, channels, n) float32
            vectors and signals.
        destination_frame: Of the same kind, without F; `None` for an orthogonal walk.

    Raises:
        SnapshotError: If a type or a shape differs from the above.
    """

    classes: tuple[str, ...]
    curve_steps: Array
    probabilities: Array
    distance: Array
    horizontality: Array
    fisher_rao_length: Array
    entropy: Array
    frame_steps: Array
    frame_labels: tuple[str, ...]
    frame_probabilities: Array
    frames: Array
    destination_frame: Array | None

    def __post_init__(self) -> None:
        super().__post_init__()
        points = _check_steps("curve_steps", self.curve_steps, self.steps)
        _expect(points <= MAX_CURVE_POINTS, "curve_steps", f"S <= {MAX_CURVE_POINTS}", str(points))
        _expect(len(self.classes) > 0, "classes", "at least one name", "none")
        _check_array("probabilities", self.probabilities, (points, len(self.classes)))
        for name in ("distance", "horizontality", "fisher_rao_length", "entropy"):
            _check_array(name, getattr(self, name), (points,))

        count = _check_steps("frame_steps", self.frame_steps, self.steps)
        _expect(
            len(self.frame_labels) == count,
            "frame_labels",
            f"{count} names, one a frame",
            str(len(self.frame_labels)),
        )
        _check_array("frame_probabilities", self.frame_probabilities, (count,))
        _check_frames(self.frames, count)
        if self.destination_frame is not None:
            shape = self.frames.shape[1:]
            _check_array("destination_frame", self.destination_frame, shape, self.frames.dtype)


@dataclass(frozen=True, eq=False)
class SnapshotScalars:
    """What is known of a snapshot without its paths.

    Attributes:
        name: The callback's name, such as `"horizontal_path"`; the prefix of the tag.
        kind: `"horizontal"` or `"orthogonal"`.
        step: Optimizer steps taken.
        epoch: Epochs completed.
        reason: Why it was taken, such as `"checkpoint"` or `"trace_return"`.
        session: The fit that wrote it, 16 hexadecimal digits that sort by time.
        session_start_step: Snapshots of older sessions at this step or later, in the same run
            and of the same name, are superseded.
        class_count: C; the rank of the local data matrix is at most C - 1.
        input_shape: Shape of one input of the model.
        scaled: Whether images are min-max scaled because the normalisation is unknown.
    """

    name: str
    kind: str
    step: int
    epoch: int
    reason: str
    session: str
    session_start_step: int
    class_count: int
    input_shape: tuple[int, ...]
    scaled: bool

    def __post_init__(self) -> None:
        check_types(self)
        letters = "letters, digits and any of _.-"
        _expect(bool(_NAME.fullmatch(self.name)), "name", letters, repr(self.name))
        _expect(self.kind in KINDS, "kind", f"one of {KINDS}", repr(self.kind))
        _expect(self.step <= MAX_STEP, "step", f"at most {MAX_STEP}", str(self.step))
        session = "16 hexadecimal digits, f'{time.time_ns():016x}'"
        _expect(bool(_SESSION.fullmatch(self.session)), "session", session, repr(self.session))


@dataclass(frozen=True, eq=False)
class SnapshotIndex(SnapshotScalars):
    """A snapshot as a list shows it.

    Attributes:
        paths: One line for each path.
    """

    paths: tuple[PathIndex, ...]


@dataclass(frozen=True, eq=False)
class Snapshot(SnapshotScalars):
    """All paths that one callback took at one moment of training.

    Attributes:
        paths: At least one.

    Raises:
        SnapshotError: If there is no path, or a field has a wrong type or value.
    """

    paths: tuple[PathRecord, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _expect(len(self.paths) > 0, "paths", "at least one path", "none")


def check_types(record: PathScalars | SnapshotScalars) -> None:
    """Raise `SnapshotError` unless every plain field of `record` has its declared type."""
    for field in fields(record):
        rule = _RULES.get(str(field.type))
        if rule is not None:
            value = getattr(record, field.name)
            _expect(rule[1](value), field.name, rule[0], f"{type(value).__name__} {value!r:.80}")


def _is_natural(value: object) -> bool:
    # bool is an int in Python, but not a count.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def _is_number(value: object) -> bool:
    # An integer beyond every float is none.
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
    )


# A type as it is written in a dataclass above: its name in an error, and its test.
_RULES: Final[Mapping[str, tuple[str, Any]]] = {
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
    "tuple[PathRecord, ...]": (
        "a tuple of PathRecord",
        lambda value: (
            isinstance(value, tuple) and all(isinstance(item, PathRecord) for item in value)
        ),
    ),
}


def _expect(condition: bool, field: str, expected: str, got: str) -> None:
    if not condition:
        # A foreign value may be of any length.
        raise SnapshotError(f"{field}: expected {expected}, got {got:.200}.")


def _check_array(
    field: str, array: Array, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
) -> None:
    expected = f"a numpy array of {np.dtype(dtype)} and shape {shape}"
    _expect(isinstance(array, np.ndarray), field, expected, type(array).__name__)
    matches = array.dtype == dtype and array.shape == shape
    _expect(matches, field, expected, f"{array.dtype} and shape {array.shape}")


def _check_steps(field: str, steps: Array, last: int) -> int:
    expected = f"an increasing int32 array from 0 to steps = {last}"
    _expect(isinstance(steps, np.ndarray), field, expected, type(steps).__name__)
    is_list = steps.dtype == np.int32 and steps.ndim == 1 and steps.size > 0
    _expect(is_list, field, expected, f"{steps.dtype} and shape {steps.shape}")
    increases = steps[0] == 0 and steps[-1] == last and bool((steps[1:] > steps[:-1]).all())
    _expect(increases, field, expected, np.array2string(steps, threshold=6))
    return len(steps)


def _check_frames(frames: Array, count: int) -> None:
    expected = (
        f"{count} frames: uint8 (F, H, W) or (F, H, W, 3), or float32 (F, n) or (F, channels, n)"
    )
    _expect(isinstance(frames, np.ndarray), "frames", expected, type(frames).__name__)
    is_image = frames.dtype == np.uint8 and (
        frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)
    )
    is_signal = frames.dtype == np.float32 and frames.ndim in (2, 3)
    matches = (is_image or is_signal) and frames.shape[0] == count and 0 not in frames.shape
    _expect(matches, "frames", expected, f"{frames.dtype} and shape {frames.shape}")
