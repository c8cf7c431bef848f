"""Trainings of about a second: a small CNN on scikit-learn's digits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard_plugin_leaf import Snapshot, decode
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

# Warnings of Lightning about small trainings and newer versions of torch.
ignore_lightning = [
    pytest.mark.filterwarnings(f"ignore:{start}")
    for start in (
        ".*LeafSpec",
        ".*does not have many workers",
        "The number of training batches",
        "Checkpoint directory",
        "You defined a .validation_step. but have no .val_dataloader",
        "You passed in a .val_dataloader. but have no .validation_step",
        "Skipping val loop",
        "No device id is provided via",
        "You're resuming from a checkpoint that ended before the epoch ended",
    )
]


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """Return images (1797, 1, 8, 8) with pixels in [0, 1], and labels (1797,)."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(data.target)


def train_data(count: int = 512) -> TensorDataset:
    images, labels = digits()
    return TensorDataset(images[:count], labels[:count])


def validation_data() -> TensorDataset:
    images, labels = digits()
    return TensorDataset(images[1400:], labels[1400:])


class SmallCNN(L.LightningModule):
    """A CNN with batch-norm and dropout; `lr` is high enough to learn in a few dozen steps."""

    def __init__(self, lr: float = 0.3) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(128, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


def make_trainer(root: Path, callbacks: Sequence[Callback], **options: Any) -> L.Trainer:
    defaults: dict[str, Any] = {
        "max_steps": 8,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "enable_checkpointing": False,
        "default_root_dir": root,
    }
    return L.Trainer(callbacks=list(callbacks), **(defaults | options))


def fit(
    root: Path,
    *callbacks: Callback,
    module: L.LightningModule | None = None,
    train: Any = None,
    validation: Any = "digits",
    ckpt_path: Path | None = None,
    **options: Any,
) -> L.Trainer:
    """Train from seed 0 on batches of 64 (8 per epoch), for 8 steps by default."""
    L.seed_everything(0, verbose=False)
    trainer = make_trainer(root, callbacks, **options)
    if train is None:
        train = DataLoader(train_data(), batch_size=64, shuffle=True)
    if isinstance(validation, str):
        validation = DataLoader(validation_data(), batch_size=200)
    trainer.fit(SmallCNN() if module is None else module, train, validation, ckpt_path=ckpt_path)
    return trainer


def snapshots(root: Path, name: str | None = None) -> list[Snapshot]:
    """Return all snapshots below a folder in the order of writing, read by TensorBoard."""
    written = []
    for file in sorted(root.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "leaf":
                    blobs = list(value.tensor.string_val)
                    snapshot = decode(value.metadata.plugin_data.content, blobs)
                    assert value.tag.startswith(f"{snapshot.name}/{snapshot.step:012d}-")
                    assert event.step == snapshot.step
                    written.append(snapshot)
    return [snapshot for snapshot in written if name in (None, snapshot.name)]


def scalars(root: Path) -> dict[str, dict[int, float]]:
    """Return all scalars below a folder, by tag and step."""
    values: dict[str, dict[int, float]] = {}
    for file in sorted(root.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = value.tensor.float_val[0]
                    values.setdefault(value.tag, {})[event.step] = number
    return values
