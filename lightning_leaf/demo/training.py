"""Train the demo's classifier with the callbacks attached."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_leaf.callbacks import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
from lightning_leaf.callbacks.triggers import When
from lightning_leaf.data.image_datasets import DataName, load
from lightning_leaf.demo.classifier import SmallCNN
from lightning_leaf.demo.report import PathCallback

BATCH_SIZE = 60
PATH_STEPS = 1000
EPOCHS: dict[DataName, int] = {"digits": 25, "mnist": 2, "fashion-mnist": 2}
LEARNING_RATE: dict[DataName, float] = {"digits": 0.2, "mnist": 0.01, "fashion-mnist": 0.01}


@dataclass(frozen=True)
class DemoRun:
    """A finished training: the folder of its logs, and its callbacks."""

    log_dir: Path
    monitor: LocalDataMatrixMonitor
    snapshots: tuple[PathCallback, ...]


def train(
    data: DataName,
    data_dir: Path,
    logdir: Path,
    *,
    seed: int = 0,
    max_epochs: int | None = None,
    accelerator: str = "auto",
) -> DemoRun:
    """Train on one of the demo's data sets with all callbacks.

    Args:
        data: Name of the data set.
        data_dir: Folder of torchvision's data sets, which are downloaded if missing.
        logdir: Folder of the logs; each run creates its own subfolder.
        seed: Seed of weights, batches and probes.
        max_epochs: Number of epochs. Default: 25 for the digits, 2 for the other data sets.
        accelerator: Lightning accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``, …

    Raises:
        DataUnavailableError: If the data set can be neither read nor downloaded.
    """
    images = load(data, data_dir)
    L.seed_everything(seed, verbose=False)
    loader = DataLoader(images.train, BATCH_SIZE, shuffle=True)
    epochs = EPOCHS[data] if max_epochs is None else max_epochs
    steps = epochs * len(loader)
    when: list[When] = [steps // 20, "trace_return", "fit_end"]
    monitor = LocalDataMatrixMonitor(
        every_n_steps=max(1, steps // 60), ranks=["entropy", "stable"], seed=seed
    )
    snapshots = (
        PredictionPathSnapshot(when=when, seed=seed),
        PredictionPathSnapshot(to="each", seed=seed),
        HorizontalPathSnapshot(when=when, pairs=6, max_steps=PATH_STEPS, seed=seed),
        HorizontalPathSnapshot(
            when="fit_end", pairs=4, noise_steps=100, max_steps=PATH_STEPS // 2, seed=seed
        ),
        OrthogonalWalkSnapshot(
            when=["trace_return", "fit_end"], max_steps=PATH_STEPS // 10, seed=seed
        ),
    )
    logger = TensorBoardLogger(logdir, name=data)
    with warnings.catch_warnings():
        # Small images in memory need no workers.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=1,
            logger=logger,
            log_every_n_steps=min(10, len(loader)),
            enable_model_summary=False,
            callbacks=[monitor, *snapshots],
        )
        trainer.fit(
            SmallCNN(images.image_shape, learning_rate=LEARNING_RATE[data]),
            loader,
            DataLoader(images.val, 500),
        )
    return DemoRun(Path(logger.log_dir), monitor, snapshots)
