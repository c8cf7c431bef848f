"""Snapshots: paths in the compact form that the LEAF tab reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tensorboard_plugin_leaf import PathRecord, Snapshot, encode
from torch import Tensor

from lightning_leaf.data.batches import Examples, class_name
from lightning_leaf.display.curves import Curves, thin_curves
from lightning_leaf.display.frame_choice import frame_rows
from lightning_leaf.display.second_opinion import SecondOpinion
from lightning_leaf.drawing.frames import frames_of, shared_scale
from lightning_leaf.drawing.layout import layout_of
from lightning_leaf.drawing.predictions import predictions, target_name
from lightning_leaf.errors import LeafError
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.single_path import SinglePath

MAX_BYTES = 2_000_000
"""Largest size of a snapshot: TensorBoard computes checksums of event files at about 8 MB/s."""
LARGEST_SIDE, SMALLEST_SIDE = 128, 8
"""Limits of the longest side of an image, in pixels, when it is scaled down to fit."""
LONGEST_NAME = 200
"""Characters of the longest name of snapshots; the LEAF tab shows no more."""


@dataclass(frozen=True)
class SnapshotMetadata:
    """When and why a snapshot was taken; a :class:`Snapshot` has fields of the same names.

    Attributes:
        name: Name of the callback, the prefix of the tag.
        step: Number of optimizer steps taken.
        epoch: Number of epochs completed.
        reason: The trigger.
        session: Identifies the call of ``fit``; later calls have larger values.
        session_start_step: Number of optimizer steps at the start of that call.
    """

    name: str
    step: int
    epoch: int
    reason: str
    session: str
    session_start_step: int

    def __post_init__(self) -> None:
        if len(self.name) > LONGEST_NAME:
            raise LeafError(
                f"name expects at most {LONGEST_NAME} characters; got {len(self.name)}."
            )


def make_snapshot(
    path: LeafPath,
    metadata: SnapshotMetadata,
    sources: Examples,
    destinations: Examples | None = None,
    bounds: tuple[Tensor, Tensor] | None = None,
    opinions: Sequence[SecondOpinion] | None = None,
) -> Snapshot:
    """Make a snapshot of at most 2 MB.

    Curves have at most 1000 points, see :func:`~lightning_leaf.display.curves.curve_steps`, and the
    probabilities of the 20 most probable classes and "other", or of the 20 most probable labels.
    Each path has at most 13 frames, see :func:`~lightning_leaf.display.frame_choice.frame_rows`.
    Images and signals are scaled down until the snapshot fits.

    Args:
        path: The paths.
        metadata: When and why the snapshot is taken.
        sources: The sources, one for each path.
        destinations: The destinations of horizontal paths, one for each path.
        bounds: The inputs that are black and white. None: the images of a path are scaled from the
            smallest to the largest value of its points, and the snapshot is marked as scaled.
        opinions: What another network predicts for the last point of each path.
    """
    curves = [thin_curves(single, len(path)) for single in path]
    layout = layout_of(path[0].start.shape, _channel_axis(path[0]))

    def with_frames(side: int) -> Snapshot:
        records = tuple(
            _record(
                single,
                thinned,
                row,
                sources,
                destinations,
                bounds,
                side,
                SecondOpinion() if opinions is None else opinions[row],
            )
            for row, (single, thinned) in enumerate(zip(path, curves, strict=True))
        )
        return Snapshot(
            name=metadata.name,
            kind=path.kind,
            step=metadata.step,
            epoch=metadata.epoch,
            reason=metadata.reason,
            session=metadata.session,
            session_start_step=metadata.session_start_step,
            class_count=path[0].log_probs.shape[-1],
            input_shape=tuple(path[0].start.shape),
            scaled=bounds is None and layout is not None,
            likelihood=path.likelihood,
            frame_note="" if layout is None else layout.note,
            paths=records,
        )

    side = LARGEST_SIDE
    while True:
        snapshot = with_frames(side)
        index, blobs = encode(snapshot)
        size = len(index) + sum(map(len, blobs))
        if size <= MAX_BYTES or side <= SMALLEST_SIDE:
            return snapshot
        side = max(SMALLEST_SIDE, min(side - 8, int(side * math.sqrt(MAX_BYTES / size))))


def _record(
    path: SinglePath,
    curves: Curves,
    row: int,
    sources: Examples,
    destinations: Examples | None,
    bounds: tuple[Tensor, Tensor] | None,
    side: int,
    opinion: SecondOpinion,
) -> PathRecord:
    names = sources.class_names
    rows = frame_rows(path)
    frame_steps = path.point_steps[rows]
    frame_labels, frame_probabilities = predictions(
        path.log_probs[frame_steps], path.likelihood, names
    )
    points = path.points[rows]
    if path.end is not None:
        points = torch.cat([points, path.end.unsqueeze(0).to(points)])
    scale = shared_scale(path.points, path.end) if bounds is None else bounds
    frames = frames_of(points, scale, side, _channel_axis(path))
    destination_frame = None
    if path.end is not None:
        frames, destination_frame = frames[:-1], frames[-1]
    destination = "" if destinations is None else destinations.name(row)
    if path.target is not None:
        destination = target_name(path.target, path.log_probs[0], path.likelihood, names)
    has_aim = path.end is not None or path.target is not None
    return PathRecord(
        source=sources.name(row),
        destination=destination,
        source_index=_index(sources, row),
        destination_index=_index(destinations, row),
        status=path.status.value,
        steps=path.steps,
        start_distance=float(path.distance[0]) if has_aim else 0.0,
        final_distance=float(path.distance[-1]),
        threshold=math.nan if path.threshold is None else path.threshold,
        classes=tuple(class_name(names, label) for label in curves.classes)
        + (("other",) if curves.has_other else ()),
        curve_steps=curves.steps,
        probabilities=curves.probabilities,
        distance=curves.distance,
        horizontality=curves.horizontality,
        fisher_rao_length=curves.fisher_rao_length,
        entropy=curves.entropy,
        frame_steps=frame_steps.numpy().astype(np.int32),
        frame_labels=tuple(frame_labels),
        frame_probabilities=frame_probabilities.numpy(),
        frames=frames,
        destination_frame=destination_frame,
        change=path.change,
        euclidean_length=float(path.euclidean_length[-1]),
        switch_change=path.switch_change,
        length_ratio=path.length_ratio,
        blocked_by=path.blocked_by,
        judged=opinion.prediction,
        judged_probability=opinion.probability,
    )


def _channel_axis(path: SinglePath) -> int | None:
    return None if path.normalization is None else path.normalization.axis


def _index(examples: Examples | None, row: int) -> int | None:
    return None if examples is None or examples.indices is None else examples.indices[row]
