"""A training that is killed while it writes a snapshot; see test_killed.py.

python -m tests.support.callbacks.killed FOLDER
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.summary.writer.record_writer import RecordWriter

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor
from tests.support.callbacks.training import fit

SNAPSHOT_STEPS = [2, 5, 7]


def callbacks(root: Path) -> list[Callback]:
    return [
        LocalDataMatrixMonitor(every_n_steps=2),
        HorizontalPathSnapshot(SNAPSHOT_STEPS, pairs=2, max_steps=20),
        ModelCheckpoint(root / "saved", every_n_train_steps=4, save_top_k=-1),
    ]


def train(root: Path, ckpt_path: Path | None = None) -> None:
    """Train into one run folder, like a job that a cluster restarts."""
    logger = TensorBoardLogger(root, name="run", version=0)
    fit(root, *callbacks(root), logger=logger, enable_checkpointing=True, ckpt_path=ckpt_path)


def kill_while_writing(at_step: int) -> None:
    """Make the process kill itself when half of this step's snapshot is in the file."""
    write = RecordWriter.write
    tag = f"horizontal_path/{at_step:012d}".encode()

    def write_half(self: RecordWriter, data: bytes) -> Any:
        if tag not in data:
            return write(self, data)
        file, self._writer = self._writer, HalfFile(self._writer)
        write(self, data)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    RecordWriter.write = write_half


class HalfFile:
    """A file that keeps only the first half of the data of each write."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    kill_while_writing(7)
    train(folder)
