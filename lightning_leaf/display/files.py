"""Snapshots as plain files: NumPy archives and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard_plugin_leaf import Snapshot

from lightning_leaf.display.disk_space import require_free_space
from lightning_leaf.drawing.strip import draw_strip, stack_strips
from lightning_leaf.paths.leaf_path import LeafPath


def save_files(snapshot: Snapshot, path: LeafPath, log_dir: Path) -> Path:
    """Save a snapshot as plain files in ``<log_dir>/leaf/<name>-<step>/``.

    ``path-<i>.npz`` contains the arrays that the LEAF tab displays for path i and, in the units of
    the model's input, the points of its frames as ``points`` ``(F, ...)`` and its destination as
    ``end``. ``strips.png`` contains the strips of all paths.

    Args:
        snapshot: The snapshot.
        path: The paths of the snapshot.
        log_dir: The log folder of the trainer.

    Returns:
        The folder with the files.

    Raises:
        OSError: If the files cannot be written or the disk is nearly full.
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
