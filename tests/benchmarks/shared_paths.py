"""Time of the horizontal paths of a training with one process and with two."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from lightning_leaf import HorizontalPathSnapshot
from tests.benchmarks.machine import describe
from tests.support.pair import Pair

PAIRS = 8
STEPS = 40
REPEATS = 2


def run() -> None:
    """Walk the same paths with one and with two processes in turn, one thread each."""
    print(describe())
    pair = Pair()
    try:
        alone, shared = [], []
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as folder:
                alone.append(pair.run(seconds, Path(folder), 1)[0])
                shared.append(max(pair.run(seconds, Path(folder), 2)))
    finally:
        pair.close()
    one, two = statistics.median(alone), statistics.median(shared)
    print(
        f"\n{PAIRS} horizontal paths of {STEPS} steps, 28×28, the paper's CNN "
        f"(medians of {REPEATS} runs)\n"
        f"  one process      {one:6.2f} s\n"
        f"  two processes    {two:6.2f} s\n"
        f"  ratio            {one / two:6.2f}"
    )


def seconds(root: Path, processes: int) -> float:
    """Return the time of the snapshot in this process; of one process, rank one is idle."""
    import lightning as L
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from lightning_leaf.demo.classifier import SmallCNN

    if processes == 1 and os.environ["RANK"] == "1":
        return 0.0
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(64, 1, 28, 28), torch.arange(64) % 10)

    class Timed(HorizontalPathSnapshot):
        def _take(self, *arguments: Any) -> None:
            started = time.perf_counter()
            super()._take(*arguments)
            self.seconds = time.perf_counter() - started

    ends = torch.rand(2, PAIRS, 1, 28, 28).unbind()
    snapshot = Timed(1, ends, step_size=1e-6, max_steps=STEPS, on_error="raise")
    rank = os.environ.pop("LOCAL_RANK") if processes == 1 else os.environ["LOCAL_RANK"]
    try:
        trainer = L.Trainer(
            max_steps=2,
            accelerator="cpu",
            devices=processes,
            strategy="ddp" if processes == 2 else "auto",
            logger=False,
            callbacks=[snapshot],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=root,
            limit_val_batches=0,
        )
        trainer.fit(SmallCNN((1, 28, 28)), DataLoader(data, 16))
    finally:
        os.environ["LOCAL_RANK"] = rank
    return snapshot.seconds
