"""Throughput of measuring a data set with one process and with two, one thread each."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe
from tests.support.pair import Pair

INPUTS = 1024
REPEATS = 5


def run() -> None:
    """Measure the same data set with one and with two processes in turn."""
    print(describe())
    pair = Pair()
    try:
        for processes in (1, 2):  # warm up: imports and first calls
            slower(pair, processes, 64)
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(REPEATS):
            for processes, taken in times.items():
                taken.append(slower(pair, processes, INPUTS))
    finally:
        pair.close()
    one, two = (INPUTS / statistics.median(times[processes]) for processes in (1, 2))
    spread = " · ".join(
        f"{min(taken):.2f} to {max(taken):.2f} s with {processes}"
        for processes, taken in times.items()
    )
    print(
        f"\n{INPUTS} inputs of 28×28, ten classes, the paper's CNN, rows written to a folder "
        f"(medians of {REPEATS} runs)\n"
        f"  one process      {one:7.1f} inputs/s\n"
        f"  two processes    {two:7.1f} inputs/s\n"
        f"  ratio            {two / one:7.2f}\n"
        f"  spread           {spread}"
    )


def slower(pair: Pair, processes: int, inputs: int) -> float:
    """Return the time of the slower process, with an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return float(max(pair.run(seconds, processes, inputs, Path(folder))))


def seconds(processes: int, inputs: int, folder: Path) -> float:
    """Return the time of the prediction in this process; of one process, rank one is idle."""
    import logging

    import lightning as L
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from lightning_leaf.demo.classifier import SmallCNN
    from lightning_leaf.predict import LeafPredictor, MeasurementWriter

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    if processes == 1 and os.environ["RANK"] == "1":
        return 0.0
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(inputs, 1, 28, 28), torch.arange(inputs) % 10)

    class Timed(LeafPredictor):
        """Predictor that records the time after all processes have connected."""

        def on_predict_start(self) -> None:
            self.trainer.strategy.barrier()
            self.started = time.perf_counter()

    class TimedWriter(MeasurementWriter):
        def teardown(self, *arguments: Any, **options: Any) -> None:
            super().teardown(*arguments, **options)
            self.ended = time.perf_counter()

    writer, predictor = TimedWriter(folder), Timed(SmallCNN((1, 28, 28)))
    rank = os.environ.pop("LOCAL_RANK") if processes == 1 else os.environ["LOCAL_RANK"]
    try:
        trainer = L.Trainer(
            accelerator="cpu",
            devices=processes,
            strategy="ddp" if processes == 2 else "auto",
            callbacks=[writer],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        loader = writer.remaining(DataLoader(data, 32))
        trainer.predict(predictor, loader, return_predictions=False)
    finally:
        os.environ["LOCAL_RANK"] = rank
    return writer.ended - predictor.started
