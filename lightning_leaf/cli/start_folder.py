"""Start all processes of a command in the same folder."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override


class StartFolder(Callback):
    """Starts the other processes of a trainer in the folder in which the command was started.

    They import the user's modules again, which may have changed the current folder in this process.

    Args:
        folder: The folder in which the command was started.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current = Path.cwd()

    def enter(self) -> None:
        """Change to the folder. Call it before the trainer starts the processes."""
        os.chdir(self._folder)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        os.chdir(self._current)  # the processes have been started
