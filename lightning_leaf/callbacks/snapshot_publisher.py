"""Snapshots of a callback: sent to the loggers of the trainer, or written to files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_leaf.callbacks.notices import Notices
from lightning_leaf.display.files import save_files
from lightning_leaf.display.loggers import publish
from lightning_leaf.paths.leaf_path import LeafPath

if TYPE_CHECKING:
    from tensorboard_plugin_leaf import Snapshot


@dataclass(frozen=True)
class SnapshotPublisher:
    """Publishes the snapshots of a callback.

    Attributes:
        callback: The callback in messages.
        log_dir: The folder or URL of the trainer's logs; None if nothing should be written.
        save_files: Whether to write files. None: only if no logger shows pictures.
    """

    callback: str
    log_dir: str | None
    save_files: bool | None

    def publish(
        self, snapshot: Snapshot, path: LeafPath, loggers: Iterable[Any], notices: Notices
    ) -> None:
        """Send a snapshot to the loggers, and write files if wanted; call it on rank zero.

        Args:
            snapshot: The snapshot.
            path: The paths of the snapshot.
            loggers: The trainer's loggers.
            notices: What was reported in this fit.

        Raises:
            OSError: If the files cannot be written or the disk is nearly full.
        """
        received = publish(snapshot, path, loggers)
        wanted = not received if self.save_files is None else self.save_files
        if not wanted or self.log_dir is None:
            return
        folder = save_files(snapshot, path, self.log_dir)
        if self.save_files is None:
            notices.inform_once(
                f"No logger of the trainer shows pictures, so the snapshots of {self.callback} are "
                f"written to files, such as {folder}. Use a TensorBoardLogger to see them in the "
                "LEAF tab.",
                about=f"files of {self.callback}",
            )
