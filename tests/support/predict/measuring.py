"""Measure small data sets with a Lightning trainer, in one and in two processes."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_leaf import LeafError
from lightning_leaf.predict import LeafPredictor, MeasurementWriter, PairDataset, PathPredictor
from lightning_leaf.predict.predictor import Predictor

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
INPUTS, BATCH = 75, 8


def classifier(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 5)
        )


def data(seed: int = 0, inputs: int = INPUTS) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(inputs, 1, 8, 8, generator=generator)
    return TensorDataset(images, torch.randint(5, (inputs,), generator=generator))


def pairs(seed: int = 0, count: int = 21) -> PairDataset:
    """Return pairs of examples of :func:`data`, each with another distance of their positions."""
    return PairDataset(data(seed), [(i, INPUTS - 1 - 2 * i) for i in range(count)])


def rows_of(
    predictor: Predictor, dataset: Dataset[Any], batch_size: int = BATCH, **options: Any
) -> dict[str, list[Any]]:
    """Measure a data set in this process without writing, and return all columns."""
    batches = L.Trainer(**QUIET, **options).predict(predictor, DataLoader(dataset, batch_size))
    assert batches is not None
    return {
        name: [value for rows in batches for value in rows[name]] for name in predictor.column_types
    }


def write(
    folder: Path,
    predictor: Predictor | None = None,
    dataset: Dataset[Any] | None = None,
    batch_size: int = BATCH,
    rows_per_file: int = 20,
    **options: Any,
) -> None:
    """Measure the inputs that are not in the folder yet."""
    # No files after a time, so that their number does not depend on the speed of the machine.
    writer = MeasurementWriter(folder, rows_per_file=rows_per_file, seconds_per_file=math.inf)
    loader = writer.remaining(DataLoader(data() if dataset is None else dataset, batch_size))
    trainer = L.Trainer(callbacks=[writer], **(QUIET | options))
    trainer.predict(predictor or LeafPredictor(classifier()), loader, return_predictions=False)


def part_at(folder: Path, start: int) -> Path:
    """Return the only file of a table whose name contains a position."""
    (part,) = folder.glob(f"part-{start:012d}-*.parquet")
    return part


def write_as(processes: int, folder: Path, task: str, batches: int | None = None) -> None:
    """Write a table with one or both processes of a pair. Both call it."""
    if processes == 1 and os.environ["RANK"] == "1":
        return
    predictor, dataset = {
        "inputs": lambda: (LeafPredictor(classifier()), data()),
        "one input": lambda: (LeafPredictor(classifier()), data(inputs=1)),
        "horizontal": lambda: (PathPredictor(classifier(), max_steps=30), pairs()),
        "orthogonal": lambda: (PathPredictor(classifier(), "orthogonal", max_steps=30), data()),
    }[task]()
    rank = os.environ.pop("LOCAL_RANK") if processes == 1 else os.environ["LOCAL_RANK"]
    try:
        strategy = "ddp" if processes == 2 else "auto"
        write(
            folder,
            predictor,
            dataset,
            devices=processes,
            strategy=strategy,
            limit_predict_batches=batches,
        )
    finally:
        os.environ["LOCAL_RANK"] = rank


def predict_with_sharding() -> str:
    """Return the end of the error that this process raises for a sharded classifier."""
    trainer = L.Trainer(devices=2, strategy=ModelParallelStrategy(2, 1), **QUIET)
    try:
        trainer.predict(LeafPredictor(classifier()), DataLoader(data(), BATCH))
    except LeafError as error:
        return str(error).partition("; ")[2]
    return "no error"


class Counted(nn.Module):
    """A classifier that counts its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = classifier()
        self._counter = itertools.count()  # has no state that measuring restores

    def forward(self, x: Tensor) -> Tensor:
        for _ in x:
            next(self._counter)
        return self.inner(x)

    def count(self) -> int:
        """Return the number of inputs. Call it once."""
        return next(self._counter)


class Scaling(L.LightningModule):
    """A module that converts bytes to inputs in a batch transfer hook."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = classifier()

    def forward(self, x: Tensor) -> Tensor:
        self.log("mean", x.mean())  # raises an error in a predict loop
        return self.inner(x)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0].float() / 255, batch[1]
