"""Measure a data set in a process that is killed or terminated while it measures.

python -m tests.support.predict.killed FOLDER kill|terminate
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lightning_leaf.predict import LeafPredictor
from tests.support.predict.measuring import BATCH, classifier, data, write


def kill_at_write(nth: int) -> None:
    """Kill this process when half of the n-th file is on the disk."""
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


class TerminatedAtInput(nn.Module):
    """A classifier that sends SIGTERM to its process when it receives a given input."""

    def __init__(self, last: Tensor) -> None:
        super().__init__()
        self.inner = classifier()
        self.register_buffer("last", last)

    def forward(self, x: Tensor) -> Tensor:
        if bool((x.detach() == self.last).flatten(1).all(1).any()):
            os.kill(os.getpid(), signal.SIGTERM)
        return self.inner(x)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how == "kill":
        kill_at_write(3)  # the first file is measurement.json
        write(folder)
    else:
        third_batch = data().tensors[0][2 * BATCH]
        predictor = LeafPredictor(TerminatedAtInput(third_batch))
        write(folder, predictor, rows_per_file=1000)
