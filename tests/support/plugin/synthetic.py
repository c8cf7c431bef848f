"""Snapshots with plausible curves and frames, built without a model."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard_plugin_leaf import PathRecord, Snapshot

FIRST_SESSION = f"{1_700_000_000_000_000_000:016x}"
SECOND_SESSION = f"{1_700_000_100_000_000_000:016x}"

Array = npt.NDArray[Any]


def path(
    source: int = 4,
    destination: int = 9,
    *,
    kind: str = "horizontal",
    status: str = "reached",
    steps: int = 480,
    frames: int = 24,
    classes: int = 10,
    shape: tuple[int, ...] = (28, 28),
) -> PathRecord:
    """Return a path between two rings, one for each digit.

    Args:
        source: Digit at the source.
        destination: Digit at the destination.
        kind: ``"horizontal"``, ``"prediction"`` or ``"orthogonal"``.
        status: Status of the path.
        steps: Number of path steps.
        frames: Maximum number of frames.
        classes: Number of classes.
        shape: (H, W) or (H, W, 3) for images, (n,) for vectors, (channels, n) with fewer than 8
            channels for signals.
    """
    horizontal, aims = kind == "horizontal", kind != "orthogonal"
    curve_steps = np.unique(np.linspace(0, steps, min(steps + 1, 300)).astype(np.int32))
    frame_steps = np.unique(np.linspace(0, steps, min(steps + 1, frames)).astype(np.int32))
    target = destination if aims else source
    probabilities = _probabilities(curve_steps / max(steps, 1), source, target, classes)  # (S, K)
    frame_rows = np.searchsorted(curve_steps, frame_steps).clip(max=len(curve_steps) - 1)
    frame_probabilities = probabilities[frame_rows]  # (F, K)
    points = _points(frame_steps / max(steps, 1), source, destination, shape)  # (F, *shape)

    progress = curve_steps / max(steps, 1)  # (S,)
    distance = 9.5 * (1 - 0.9 * progress) if aims else 7.0 * np.sqrt(progress)
    if kind == "prediction":
        distance = 2.9 * (1 - 0.99 * progress)
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    horizontality = 0.35 + 0.3 * np.sin(np.pi * progress) if aims else 0.001 * progress
    return PathRecord(
        source=str(source),
        destination=str(destination) if aims else "",
        source_index=1000 + source,
        destination_index=1000 + destination if horizontal else None,
        status=status,
        steps=steps,
        start_distance=float(distance[0]) if aims else 0.0,
        final_distance=float(distance[-1]),
        threshold={"horizontal": 1.0, "prediction": 0.05, "orthogonal": math.nan}[kind],
        classes=tuple(map(str, range(classes))),
        curve_steps=curve_steps,
        probabilities=probabilities.astype(np.float32),
        distance=distance.astype(np.float32),
        horizontality=horizontality.astype(np.float32),
        fisher_rao_length=(2.6 * progress if aims else 0.04 * progress).astype(np.float32),
        entropy=entropy.astype(np.float32),
        frame_steps=frame_steps,
        frame_labels=tuple(map(str, frame_probabilities.argmax(axis=1))),
        frame_probabilities=frame_probabilities.max(axis=1).astype(np.float32),
        frames=points,
        destination_frame=_points(np.ones(1), source, destination, shape)[0]
        if horizontal
        else None,
        change=8.0 + 0.5 * destination,
        euclidean_length=9.0 + 0.5 * destination,
        length_ratio=1.0 if kind == "prediction" else 1.9,
        blocked_by="domain" if status == "blocked" else "",
    )


def snapshot(
    step: int = 1000,
    *,
    kind: str = "horizontal",
    name: str | None = None,
    paths: int = 3,
    reason: str = "step",
    session: str = FIRST_SESSION,
    session_start_step: int = 0,
    shape: tuple[int, ...] = (28, 28),
    path_steps: int = 480,
) -> Snapshot:
    """Return a snapshot of ``paths`` paths between digits, which cycle through all statuses.

    Prediction paths have one source and several targets.
    """
    statuses = {
        "horizontal": ("reached", "stalled", "out_of_steps", "non_finite", "out_of_time"),
        "prediction": ("reached", "blocked"),
        "orthogonal": ("out_of_steps",),
    }[kind]
    names = {"orthogonal": "orthogonal_walk"}
    return Snapshot(
        name=name or names.get(kind, f"{kind}_path"),
        kind=kind,
        step=step,
        epoch=step // 500,
        reason=reason,
        session=session,
        session_start_step=session_start_step,
        class_count=10,
        input_shape=(1, *shape),
        scaled=False,
        paths=tuple(
            path(
                4 if kind == "prediction" else (4 + 3 * i) % 10,
                (9 + i) % 10,
                kind=kind,
                status=statuses[i % len(statuses)],
                steps=path_steps + 20 * i,
                shape=shape,
            )
            for i in range(paths)
        ),
    )


def snapshot_of_size(points: int, classes: int, frames: Array) -> Snapshot:
    """Return a snapshot of one path with these numbers of points and classes, and these frames.

    Its curves and distances are NaN and infinite.
    """
    curve = np.full(points, np.nan, np.float32)
    curve[: points // 2] = np.inf
    extreme = dataclasses.replace(
        path(),
        steps=points - 1,
        start_distance=math.inf,
        final_distance=-math.inf,
        threshold=math.nan,
        classes=tuple(f"class {k}" for k in range(classes)),
        curve_steps=np.arange(points, dtype=np.int32),
        probabilities=np.zeros((points, classes), np.float32),
        distance=curve,
        horizontality=curve,
        fisher_rao_length=curve,
        entropy=curve,
        frame_steps=np.linspace(0, points - 1, len(frames)).astype(np.int32),
        frame_labels=("",) * len(frames),
        frame_probabilities=np.zeros(len(frames), np.float32),
        frames=frames,
        destination_frame=None,
    )
    return dataclasses.replace(snapshot(), paths=(extreme,))


def _probabilities(progress: Array, source: int, target: int, classes: int) -> Array:
    logits = np.zeros((len(progress), classes))  # (S, K)
    logits += 0.3 * np.sin(3 * progress[:, None] + np.arange(classes))
    logits[:, source] += 6 * (1 - progress)
    logits[:, target] += 6 * progress
    exponential = np.exp(logits)
    return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))


def _points(progress: Array, source: int, destination: int, shape: tuple[int, ...]) -> Array:
    if len(shape) == 1 or (len(shape) == 2 and shape[0] < 8):
        time = np.linspace(0, 2 * np.pi, shape[-1])
        waves = np.sin(time * (1 + source)) * (1 - progress[:, None])
        waves = waves + np.sin(time * (1 + destination)) * progress[:, None]  # (F, n)
        rows = waves if len(shape) == 1 else np.stack([waves] * shape[0], axis=1)
        return rows.astype(np.float32)
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]

    def ring(digit: int) -> Array:
        centre = height * (0.2 + 0.06 * digit)
        radius_error = np.hypot(y - centre, x - width / 2) - width / 4
        return np.asarray(np.exp(-(radius_error**2) / 4))

    weights = progress[:, None, None]
    images = ring(source) * (1 - weights) + ring(destination) * weights  # (F, H, W)
    grey = (255 * images.clip(0, 1)).astype(np.uint8)
    if len(shape) == 2:
        return grey
    return np.stack([grey, grey // 2, 255 - grey], axis=-1)
