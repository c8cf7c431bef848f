"""Paths into loggers: LeafPath → Snapshot → event file, picture or plain files."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tensorboard_plugin_leaf import PathRecord, Snapshot, encode, write
from torch import Tensor

from lightning_leaf.data.batches import Examples, class_name
from lightning_leaf.display.strip import draw_strip, stack_strips
from lightning_leaf.drawing.frames import frames_of, is_image
from lightning_leaf.paths.leaf_path import LeafPath, SinglePath

MAX_BYTES = 2_000_000
"""Of a snapshot: TensorBoard checks event files at about 8 MB/s."""
MAX_CURVE_POINTS = 1000
CURVE_BYTES = 800_000
"""Of all curves of a snapshot, before compression."""
MAX_FRAMES = 13
CLASSES_SHOWN = 20
LARGEST_SIDE, SMALLEST_SIDE = 128, 8

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Occasion:
    """What was taken, when and why; the fields of a Snapshot of the same names."""

    name: str
    step: int
    epoch: int
    reason: str
    session: str
    session_start_step: int


def snapshot_of(
    path: LeafPath,
    occasion: Occasion,
    sources: Examples,
    destinations: Examples | None = None,
    bounds: tuple[Tensor, Tensor] | None = None,
) -> Snapshot:
    """A snapshot of less than 2 MB.

    Curves are thinned to at most 1000 points; first and last points and changes of the predicted
    class stay. Probabilities of the 20 classes that are most probable anywhere on a path, and
    "other". At most 13 frames of each path, see :func:`frame_rows`. Images and signals are scaled
    down until all of it fits.

    Args:
        path: The paths.
        occasion: What was taken, when and why.
        sources: Where the paths start, one for each.
        destinations: Where horizontal paths lead.
        bounds: The inputs that are shown as black and as white; None: images are scaled from
            least to greatest value, and the snapshot says so.
    """
    thinned = [_curves(single, len(path)) for single in path]

    def at(side: int) -> Snapshot:
        records = tuple(
            _record(single, curves, row, sources, destinations, bounds, side)
            for row, (single, curves) in enumerate(zip(path, thinned, strict=True))
        )
        return Snapshot(
            name=occasion.name,
            kind=path.kind,
            step=occasion.step,
            epoch=occasion.epoch,
            reason=occasion.reason,
            session=occasion.session,
            session_start_step=occasion.session_start_step,
            class_count=path[0].log_probs.shape[-1],
            input_shape=tuple(path[0].start.shape),
            scaled=bounds is None and is_image(path[0].start.shape),
            paths=records,
        )

    side = LARGEST_SIDE
    while True:
        snapshot = at(side)
        index, blobs = encode(snapshot)
        size = len(index) + sum(map(len, blobs))
        if size <= MAX_BYTES or side <= SMALLEST_SIDE:
            return snapshot
        side = max(SMALLEST_SIDE, min(side - 8, int(side * math.sqrt(MAX_BYTES / size))))


def publish(snapshot: Snapshot, path: LeafPath, loggers: Iterable[Any]) -> None:
    """Hand a snapshot to every logger that can take it, on rank zero.

    TensorBoard loggers get the summary that the LEAF tab reads; loggers that have ``log_image``,
    such as Weights & Biases, one strip for each path. Other loggers, or none, are no error.

    Raises:
        OSError: If the disk is nearly full.
    """
    from torch.utils.tensorboard import SummaryWriter

    for logger in loggers:
        writer = getattr(logger, "experiment", None)
        if isinstance(writer, SummaryWriter):
            require_free_space(Path(writer.log_dir))
            write(writer, snapshot)
        elif callable(getattr(logger, "log_image", None)):
            logger.log_image(
                key=snapshot.name,
                images=[draw_strip(record) for record in snapshot.paths],
                caption=[
                    f"{_title(record)}: {single.describe()}"
                    for record, single in zip(snapshot.paths, path, strict=True)
                ],
                step=snapshot.step,
            )


def require_free_space(log_dir: Path) -> None:
    """Leave what is left of a disk to the training.

    TensorBoard writes in a thread of its own. Once that has failed, the next thing which the
    trainer logs ends the training.

    Raises:
        OSError: If less than twice of what a snapshot may take is free.
    """
    if not log_dir.exists():  # it will be made, or is no folder of this machine
        return
    free = shutil.disk_usage(log_dir).free
    if free < 2 * MAX_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"Snapshots expect at least {2 * MAX_BYTES / 1e6:.0f} MB of free disk space; "
            f"{free / 1e6:.1f} MB are left",
            str(log_dir),
        )


def save_files(snapshot: Snapshot, path: LeafPath, log_dir: Path) -> Path:
    """Write a snapshot beside the trainer's logs, as plain files.

    ``leaf/<name>-<step>/path-<i>.npz`` holds what the LEAF tab shows and, in the model's input
    units, the shown points ``points`` (F, ...) and where the path leads, ``end``; ``strips.png``
    all strips.

    Returns:
        The folder.

    Raises:
        OSError: If it cannot be written, or the disk is nearly full.
    """
    require_free_space(log_dir)
    folder = log_dir / "leaf" / f"{snapshot.name}-{snapshot.step:012d}"
    folder.mkdir(parents=True, exist_ok=True)
    for i, (record, single) in enumerate(zip(snapshot.paths, path, strict=True)):
        rows = np.searchsorted(single.point_steps.numpy(), record.frame_steps)
        arrays: dict[str, Any] = {
            field: value
            for field, value in vars(record).items()
            if value is not None and field not in ("frames", "destination_frame")
        }
        arrays["points"] = single.points[torch.from_numpy(rows)].numpy()
        if single.end is not None:
            arrays["end"] = single.end.numpy()
        np.savez_compressed(folder / f"path-{i}.npz", **arrays)
    stack_strips([draw_strip(record) for record in snapshot.paths]).save(folder / "strips.png")
    return folder


def frame_rows(path: SinglePath, count: int = MAX_FRAMES) -> list[int]:
    """Which of the kept points to show: at equal distances along the path, as seen by the model.

    The distance is half the share of the steps, half the share of the Fisher–Rao length: where
    the prediction changes frames are dense, and quiet stretches are not left out.
    """
    steps = path.point_steps.numpy()
    length = path.fisher_rao_length.nan_to_num().numpy()[steps]
    along = _share(steps) + _share(length)  # (F,), from 0 to 2
    count = min(count, len(steps))
    rows = [0]
    for k in range(1, count):
        nearest = int(np.abs(along - along[-1] * k / (count - 1)).argmin())
        # Each point once, as many as asked for, the last one last.
        rows.append(min(max(nearest, rows[-1] + 1), len(steps) - count + k))
    rows[-1] = len(steps) - 1
    return rows


@dataclass(frozen=True)
class _Curves:
    steps: Array  # (S,)
    classes: list[int]
    probabilities: Array  # (S, K)
    has_other: bool
    distance: Array
    horizontality: Array
    fisher_rao_length: Array
    entropy: Array


def _curves(path: SinglePath, path_count: int) -> _Curves:
    log_p = path.log_probs.double()  # (T + 1, C)
    p = log_p.exp().numpy()
    class_count = p.shape[1]
    shown = min(class_count, CLASSES_SHOWN)
    has_other = class_count > CLASSES_SHOWN + 1
    if not has_other:
        shown = class_count
    floats_per_point = shown + has_other + 5
    limit = max(100, min(MAX_CURVE_POINTS, CURVE_BYTES // (4 * floats_per_point * path_count)))

    steps = curve_steps(p.argmax(1), limit)  # (S,)
    classes = np.sort(np.nan_to_num(p).max(0).argsort()[::-1][:shown]).tolist()
    probabilities = p[steps][:, classes]
    if has_other:
        other = (1 - probabilities.sum(1, keepdims=True)).clip(0)
        probabilities = np.concatenate([probabilities, other], axis=1)
    entropy = torch.special.entr(log_p.exp()).sum(1).numpy()[steps]
    return _Curves(
        steps=steps.astype(np.int32),
        classes=classes,
        probabilities=probabilities.astype(np.float32),
        has_other=has_other,
        distance=path.distance.numpy()[steps].astype(np.float32),
        horizontality=_means_between(path.horizontality.numpy(), steps),
        fisher_rao_length=path.fisher_rao_length.numpy()[steps].astype(np.float32),
        entropy=entropy.astype(np.float32),
    )


def curve_steps(
    labels: Array,  # (T + 1,)
    limit: int,
) -> Array:  # (S,)
    """At most ``limit`` steps: evenly spread, the first, the last, and both sides of every change
    of the predicted class (of the first ones, where there are more than fit)."""
    last = len(labels) - 1
    if last < limit:
        return np.arange(last + 1)
    after = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    changes = np.unique(np.stack([after - 1, after], axis=1))[: limit // 2]
    even = np.linspace(0, last, limit - len(changes)).round().astype(np.int64)
    return np.unique(np.concatenate([even, changes]))


def _record(
    path: SinglePath,
    curves: _Curves,
    row: int,
    sources: Examples,
    destinations: Examples | None,
    bounds: tuple[Tensor, Tensor] | None,
    side: int,
) -> PathRecord:
    names = sources.class_names
    rows = frame_rows(path)
    frame_steps = path.point_steps[rows]
    best = path.log_probs[frame_steps].exp().max(1)
    points = path.points[rows]
    if path.end is not None:
        points = torch.cat([points, path.end.unsqueeze(0).to(points)])
    frames = frames_of(points, bounds, side)
    destination_frame = None
    if path.end is not None:
        frames, destination_frame = frames[:-1], frames[-1]
    horizontal = path.kind == "horizontal"
    return PathRecord(
        source=sources.name(row),
        destination="" if destinations is None else destinations.name(row),
        source_index=_index(sources, row),
        destination_index=_index(destinations, row),
        status=path.status.value,
        steps=path.steps,
        start_distance=float(path.distance[0]) if horizontal else 0.0,
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
        frame_labels=tuple(class_name(names, label) for label in best.indices.tolist()),
        frame_probabilities=best.values.numpy(),
        frames=frames,
        destination_frame=destination_frame,
    )


def _index(examples: Examples | None, row: int) -> int | None:
    return None if examples is None or examples.indices is None else examples.indices[row]


def _title(record: PathRecord) -> str:
    return f"{record.source} → {record.destination}" if record.destination else record.source


def _share(values: Array) -> Array:
    total = float(values[-1] - values[0])
    return (values - values[0]) / total if total > 0 else np.zeros(len(values))


def _means_between(values: Array, steps: Array) -> Array:  # (T,), (S,) -> (S,)
    """Mean over the steps from each curve point to the next; the last is repeated."""
    if len(values) == 0:
        return np.full(len(steps), np.nan, np.float32)
    starts = steps[:-1]
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0), starts)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.append(means, means[-1]).clip(0, 1).astype(np.float32)
