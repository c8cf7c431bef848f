"""The check of free disk space before a snapshot is written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from lightning_leaf.display.locations import local_path
from lightning_leaf.display.snapshots import MAX_BYTES


def require_free_space(log_dir: str | Path) -> None:
    """Check that a snapshot can be written without filling the disk.

    TensorBoard writes in its own thread. If that thread fails, the next value that the trainer logs
    raises an error and stops the training. Remote file systems are not checked.

    Args:
        log_dir: The folder or URL to which the snapshot will be written.

    Raises:
        OSError: If the free space is less than twice the largest size of a snapshot.
    """
    folder = local_path(log_dir)
    if folder is None or not folder.exists():  # not created yet, or not on this machine
        return
    free = shutil.disk_usage(folder).free
    if free < 2 * MAX_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"Snapshots need at least {2 * MAX_BYTES / 1e6:.0f} MB of free disk space; "
            f"{free / 1e6:.1f} MB are left. Free some disk space or log to another disk",
            str(folder),
        )
