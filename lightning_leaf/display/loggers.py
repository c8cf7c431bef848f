"""Delivery of snapshots to the trainer's loggers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboard_plugin_leaf import PathRecord, Snapshot, write

from lightning_leaf.display.disk_space import require_free_space
from lightning_leaf.drawing.strip import draw_strip
from lightning_leaf.paths.leaf_path import LeafPath


def publish(snapshot: Snapshot, path: LeafPath, loggers: Iterable[Any]) -> None:
    """Send a snapshot to every logger that supports it; call it on rank zero.

    A TensorBoard logger gets the summary that the LEAF tab displays. A logger with ``log_image``,
    such as Weights & Biases, gets one strip for each path. Other loggers are skipped.

    Args:
        snapshot: The snapshot.
        path: The paths of the snapshot.
        loggers: The trainer's loggers.

    Raises:
        OSError: If the disk of a TensorBoard logger is nearly full.
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


def _title(record: PathRecord) -> str:
    return f"{record.source} → {record.destination}" if record.destination else record.source
