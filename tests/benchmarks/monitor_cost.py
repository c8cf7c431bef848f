"""Share of the training time taken by the monitor with its defaults, on MNIST."""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_leaf import LocalDataMatrixMonitor
from lightning_leaf.data.image_datasets import load
from lightning_leaf.demo.classifier import SmallCNN
from tests.benchmarks.machine import describe

STEPS = 260
REPEATS = 2
LONG = 10_000
"""Training steps of examples/mnist.py."""


class Timed(LocalDataMatrixMonitor):
    """Monitor that records the duration of all its hooks."""

    def __init__(self) -> None:
        super().__init__(on_error="raise")
        self.seconds: list[float] = []

    def measure_if_due(self, *arguments: Any, **options: Any) -> None:
        started = time.perf_counter()
        super().measure_if_due(*arguments, **options)
        self.seconds.append(time.perf_counter() - started)


def run() -> None:
    """Train with and without the monitor in turn and print medians."""
    if "LEAF_DATA" not in os.environ:
        raise SystemExit("LEAF_DATA must name the folder that contains MNIST/raw; it is not set.")
    warnings.simplefilter("ignore")
    for package in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(package).setLevel(logging.ERROR)
    data = load("mnist", Path(os.environ["LEAF_DATA"]))
    print(describe())
    for accelerator in ("cpu", *(["gpu"] if torch.cuda.is_available() else [])):
        shares, without, with_monitor = [], [], []
        for _ in range(REPEATS):
            without.append(fit(data, accelerator, []))
            monitor = Timed()
            with_monitor.append(fit(data, accelerator, [monitor]))
            shares.append(sum(monitor.seconds) / with_monitor[-1])
        measured = sorted(monitor.seconds)[-len(monitor.history["step"]) :]
        idle = sorted(monitor.seconds)[: -len(measured)]
        step = statistics.median(without) / STEPS
        cost = statistics.median(measured) / step
        assert monitor.interval is not None
        long_share = (LONG // monitor.interval + 2) * cost / LONG
        print(
            f"\n{accelerator}: {STEPS} steps, measured at {len(measured)} of them, every "
            f"{monitor.interval} (medians of {REPEATS} runs)\n"
            f"  share of fit's time in the monitor   {statistics.median(shares):7.2%}, "
            "step 0 and the end included\n"
            f"  of {LONG:,} steps, at this cost        {long_share:7.2%}\n"
            f"  fit with the monitor / without       "
            f"{statistics.median(with_monitor) / statistics.median(without):7.3f}\n"
            f"  one measurement, in training steps   {cost:7.2f}\n"
            f"  between measurements, per step       {statistics.median(idle) * 1e6:7.1f} µs\n"
            f"  a training step                      {step * 1e3:7.2f} ms"
        )


def fit(data: Any, accelerator: str, callbacks: Sequence[Callback]) -> float:
    """Return the duration of the training of examples/mnist.py with fewer steps, in seconds."""
    L.seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_steps=STEPS,
            accelerator=accelerator,
            devices=1,
            logger=TensorBoardLogger(folder),
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        train = DataLoader(data.train, batch_size=60, shuffle=True)
        validation = DataLoader(data.val, batch_size=500)
        started = time.perf_counter()
        trainer.fit(SmallCNN(data.image_shape), train, validation)
        return time.perf_counter() - started
