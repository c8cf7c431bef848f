"""Measure a data set and end in the middle.

python -m tests.support.predict.killed FOLDER HOW
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lightning_leaf.predict import LeafPredictor
from tests.support.predict.measuring import classifier, write


def killed_while_writing(nth: int) -> None:
    """From now on kill -9 comes when half of the n-th file has reached the disk."""
    sync, count = os.fsync, 0

    def half(descriptor: int) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            sync(descriptor)
            os.kill(os.getpid(), signal.SIGKILL)
        return sync(descriptor)

    os.fsync = half


class Told(nn.Module):
    """A classifier whose process is told to end at its n-th forward pass."""

    def __init__(self, countdown: Iterator[int]) -> None:
        super().__init__()
        self.inner = classifier()
        self._countdown = countdown

    def forward(self, x: Tensor) -> Tensor:
        if next(self._countdown) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.inner(x)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how == "kill":
        killed_while_writing(3)  # the first is measurement.json
        write(folder)
    else:
        # Some passes for each batch: the first ask what the model is, and whether it is usable.
        write(folder, LeafPredictor(Told(itertools.count(-7))), rows_per_file=1000)
