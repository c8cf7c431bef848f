"""The classifier of the demo: the ReLU network of the paper, for images of any size."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor, nn
from typing_extensions import override


class SmallCNN(L.LightningModule):
    """A network of two convolutions, max-pooling and two linear layers with ReLU.

    It is the network of Grementieri & Fioresi, section 4, without dropout. It is trained with SGD
    without momentum.

    Args:
        image_shape: Channels, height and width of an image.
        classes: Number of classes.
        learning_rate: Learning rate of SGD.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], classes: int = 10, learning_rate: float = 0.01
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.learning_rate = learning_rate
        self.network = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )

    @override
    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        logits: Tensor = self.network(x)
        return logits

    @override
    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    @override
    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        accuracy = (self(x).argmax(1) == y).float().mean()
        self.log("val_accuracy", accuracy, prog_bar=True)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)
