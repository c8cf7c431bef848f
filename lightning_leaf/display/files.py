"""Snapshots as plain files: NumPy archives and a picture."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import torch
from tensorboard_plugin_leaf import PathRecord, Snapshot

from lightning_leaf.display.disk_space import require_free_space
from lightning_leaf.drawing.strip import draw_strip, stack_strips
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.single_path import SinglePath


def save_files(snapshot: Snapshot, path: LeafPath, log_dir: str | Path) -> str:
    """Save a snapshot as plain files in ``<log_dir>/leaf/<name>-<step>/``.

    ``path-<i>.npz`` contains the arrays that the LEAF tab displays for path i and, in the units of
    the model's input, the points of its frames as ``points`` ``(F, ...)`` and its destination as
    ``end``. ``strips.png`` contains the strips of all paths.

    Args:
        snapshot: The snapshot.
        path: The paths of the snapshot.
        log_dir: The log folder of the trainer: a path, or the URL of a remote folder
            (``s3://bucket/logs``) on a file system that fsspec supports.

    Returns:
        The path or URL of the folder with the files.

    Raises:
        OSError: If the files cannot be written or the disk is nearly full.
    """
    require_free_space(log_dir)
    folder = f"{str(log_dir).rstrip('/')}/leaf/{snapshot.name}-{snapshot.step:012d}"
    system, root = fsspec.url_to_fs(folder)
    system.makedirs(root, exist_ok=True)

    def write(name: str, content: BytesIO) -> None:
        # In one piece: remote file systems allow no seeking in a file that is being written.
        with system.open(f"{root}/{name}", "wb") as file:
            file.write(content.getvalue())

    for i, (record, single) in enumerate(zip(snapshot.paths, path, strict=True)):
        archive = BytesIO()
        np.savez_compressed(archive, **_arrays(record, single))
        write(f"path-{i}.npz", archive)
    picture = BytesIO()
    strips = [
        draw_strip(record, single, scaled=snapshot.scaled)
        for record, single in zip(snapshot.paths, path, strict=True)
    ]
    stack_strips(strips).save(picture, "png")
    write("strips.png", picture)
    return folder


def _arrays(record: PathRecord, path: SinglePath) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        field: value
        for field, value in vars(record).items()
        if value is not None and field not in ("frames", "destination_frame")
    }
    rows = np.searchsorted(path.point_steps.numpy(), record.frame_steps)
    arrays["points"] = path.points[torch.from_numpy(rows)].numpy()
    if path.end is not None:
        arrays["end"] = path.end.numpy()
    return arrays
