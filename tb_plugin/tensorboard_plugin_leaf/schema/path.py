"""The type of one path: its curves and some of its points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from tensorboard_plugin_leaf.schema.fields import (
    Array,
    check_array,
    check_frames,
    check_path_steps,
    check_plain_fields,
    expect,
)

STATUSES: Final = ("reached", "blocked", "stalled", "out_of_steps", "out_of_time", "non_finite")
BLOCKS: Final = ("", "rank", "domain", "prediction")
MAX_CURVE_POINTS: Final = 1000
# The curves that hold one number for each point.
CURVES: Final = ("distance", "horizontality", "fisher_rao_length", "entropy")


@dataclass(frozen=True, eq=False)
class PathScalars:
    """The strings and numbers of a path, without its curves and frames.

    Distances and lengths are Euclidean, in units of the inputs of the model, except those of a
    prediction path to its target, which are Fisher–Rao distances: lengths on the sphere of the
    vectors 2√p, at most π for exclusive classes.

    Attributes:
        source: Label of the source, a class name.
        destination: Label of the destination. Prediction path: name of the target class, or of the
            most probable class of the target. ``""`` for an orthogonal walk without one.
        source_index: Position of the source in its data set, or ``None`` if unknown.
        destination_index: Position of the destination in its data set, or ``None`` if unknown. A
            prediction path has none.
        status: ``"reached"``, ``"blocked"`` (it cannot go on, see ``blocked_by``),
            ``"stalled"``, ``"out_of_steps"``, ``"out_of_time"`` (ended by a limit of time or on
            request) or ``"non_finite"``.
        steps: Number of path steps.
        start_distance: ‖destination − source‖. Prediction path: Fisher–Rao distance of the first
            prediction to the target. Orthogonal walk without a destination: 0.
        final_distance: Distance of the last point to the destination, or to the source for an
            orthogonal walk without one. Prediction path: distance of its prediction to the target.
        threshold: Distance at which the destination or target counts as reached. NaN for an
            orthogonal walk without a destination.
        change: Distance between the first and the last point. NaN if unknown.
        switch_change: Prediction path: distance from the source at which the target is first
            predicted. NaN if it never is or if this is unknown.
        euclidean_length: Length of the path. NaN if unknown.
        length_ratio: Length of the path in the metric G, divided by the Fisher–Rao distance
            between the first and the last prediction: 1 for the shortest path. NaN if unknown.
        blocked_by: What blocks a blocked path: ``"rank"`` (no change of the input makes the change
            of the prediction), ``"domain"`` (only a change out of the valid range does) or
            ``"prediction"`` (the next step would change the prediction). ``""`` if nothing does.
        judged: Prediction of another network for the last point, a class name. ``""`` if there is
            no other network.
        judged_probability: Probability of that class by the other network, NaN without one.
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
    change: float = field(default=math.nan, kw_only=True)
    switch_change: float = field(default=math.nan, kw_only=True)
    euclidean_length: float = field(default=math.nan, kw_only=True)
    length_ratio: float = field(default=math.nan, kw_only=True)
    blocked_by: str = field(default="", kw_only=True)
    judged: str = field(default="", kw_only=True)
    judged_probability: float = field(default=math.nan, kw_only=True)

    def __post_init__(self) -> None:
        check_plain_fields(self)
        expect(self.status in STATUSES, "status", f"one of {STATUSES}", repr(self.status))
        expect(self.blocked_by in BLOCKS, "blocked_by", f"one of {BLOCKS}", repr(self.blocked_by))


@dataclass(frozen=True, eq=False)
class PathIndex(PathScalars):
    """The entry of a path in the list of snapshots.

    Attributes:
        mean_horizontality: Mean horizontality over the path steps, in [0, 1], NaN if unknown. See
            :class:`PathRecord`.
    """

    mean_horizontality: float


@dataclass(frozen=True, eq=False)
class PathRecord(PathScalars):
    """One path: its curves and some of its points.

    The curves have S points and K classes. The frames are F of the points of the path, as images,
    vectors or signals. Distances are those of :class:`PathScalars`.

    Attributes:
        classes: (K,) names of the columns of ``probabilities``. The last may be ``"other"``, the
            sum of all other classes.
        curve_steps: (S,) int32 path steps of the curves, increasing from 0 to ``steps``,
            S ≤ ``MAX_CURVE_POINTS``.
        probabilities: (S, K) float32 predicted probabilities.
        distance: (S,) float32 distance to the destination (horizontal path), to the source
            (orthogonal walk), or of the prediction to the target (prediction path).
        horizontality: (S,) float32 horizontality ‖Πδ‖/‖δ‖ of the displacement δ of the path step
            that starts at each point, in [0, 1] or NaN. Π is the projection on the tangent space
            D_x. The last value is repeated.
        fisher_rao_length: (S,) float32 length of the path in the metric G, the local data matrix,
            from the source to each point.
        entropy: (S,) float32 entropy of the prediction, in nats.
        frame_steps: (F,) int32 path steps of the frames, increasing from 0 to ``steps``.
        frame_labels: (F,) prediction at each frame: the name of the most probable class, or for
            independent labels the names of those with p > ½.
        frame_probabilities: (F,) float32 probability of that class. NaN for independent labels,
            which have one each.
        frames: (F, H, W) or (F, H, W, 3) uint8 images, or (F, n) or (F, channels, n) float32
            vectors or signals.
        destination_frame: The destination, in the shape and type of one frame. ``None`` for an
            orthogonal walk and a prediction path.

    Raises:
        SnapshotError: If a field has another type or shape.

    Example:
        >>> import dataclasses
        >>> from tensorboard_plugin_leaf.schema.example import example_path
        >>> path = example_path()  # its code shows how to build a path
        >>> path.probabilities.shape, path.frames.shape
        ((3, 2), (2, 4, 4))
        >>> dataclasses.replace(path, entropy=path.entropy[:2])
        Traceback (most recent call last):
            ...
        tensorboard_plugin_leaf.schema.errors.SnapshotError: entropy: expected a numpy array of \
float32 and shape (3,), got float32 and shape (2,).
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
        points = check_path_steps("curve_steps", self.curve_steps, self.steps)
        expect(points <= MAX_CURVE_POINTS, "curve_steps", f"S <= {MAX_CURVE_POINTS}", str(points))
        expect(len(self.classes) > 0, "classes", "at least one name", "none")
        check_array("probabilities", self.probabilities, (points, len(self.classes)))
        for name in CURVES:
            check_array(name, getattr(self, name), (points,))

        count = check_path_steps("frame_steps", self.frame_steps, self.steps)
        labels = len(self.frame_labels)
        expect(labels == count, "frame_labels", f"{count} names, one for each frame", str(labels))
        check_array("frame_probabilities", self.frame_probabilities, (count,))
        check_frames(self.frames, count)
        if self.destination_frame is not None:
            shape = self.frames.shape[1:]
            check_array("destination_frame", self.destination_frame, shape, self.frames.dtype)
