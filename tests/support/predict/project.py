"""The project of a user: a classifier, data, and objects that cause errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.support.callbacks.training import make_trainer, train_data, validation_data


class Classifier(L.LightningModule):
    """A module that saves its hyper-parameters in checkpoints."""

    def __init__(self, width: int, activation: str = "relu", lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), getattr(nn, activation)(), nn.Linear(width, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


class Digits(L.LightningDataModule):
    def setup(self, stage: str) -> None:
        assert stage == "validate"
        self.held_out = validation_data()

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.held_out, 100)


class WithTransferHook(Digits):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return 2 * batch[0], batch[1]


class WithoutLoader(L.LightningDataModule):
    """A data module that defines no loader."""


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def with_argument(width: int) -> nn.Module:
    return nn.Linear(width, 2)


def no_data() -> Dataset[Any]:
    return TensorDataset(torch.rand(0, 1, 8, 8))


def few() -> Dataset[Any]:
    return TensorDataset(validation_data().tensors[0][:3])


def number() -> int:
    return 3


validation: Dataset[Any] = validation_data()


def with_softmax() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))


def train(root: Path) -> list[Path]:
    """Train, and return the checkpoints saved at steps 8, 16 and 24."""
    saver = ModelCheckpoint(root, "{step}", save_top_k=-1, every_n_train_steps=8)
    L.seed_everything(0, verbose=False)
    trainer = make_trainer(root, [saver], max_steps=24, enable_checkpointing=True, logger=False)
    trainer.fit(Classifier(12, activation="Tanh"), DataLoader(train_data(), 64, shuffle=True))
    return sorted(root.glob("*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))


class Tagged(Classifier):
    """A module whose scores are logits of independent labels, from a method of its own."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def tag_scores(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores


def tagged_images() -> Dataset[Any]:
    images, labels = validation_data().tensors
    tags = nn.functional.one_hot(labels) + nn.functional.one_hot((labels + 1) % 10)
    return _Pictures(images[:20], tags[:20].float())


class _Pictures(TensorDataset):
    def __getitem__(self, index: int) -> dict[str, Tensor]:  # type: ignore[override]
        image, tags = super().__getitem__(index)
        return {"thumbnail": image[:, ::2], "picture": image, "tags": tags}
