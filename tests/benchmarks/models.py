"""Models and inputs of the benchmarks, the same in every run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from lightning_leaf.data.image_datasets import load
from lightning_leaf.demo.classifier import SmallCNN

SEED = 0


@dataclass(frozen=True)
class Subject:
    """A classifier to measure, on images of one shape."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    classes: int
    batch: int
    """Number of inputs of one measurement."""

    def model(self, device: torch.device | str) -> nn.Module:
        """Return the model in evaluation mode; on the device "meta" it has no values."""
        with torch.random.fork_rng(devices=[]), torch.device("meta" if device == "meta" else "cpu"):
            torch.manual_seed(SEED)
            return self.build().to(device).eval()

    def inputs(self, device: torch.device | str, count: int | None = None) -> Tensor:
        """Return random inputs, ``(count, *shape)``."""
        generator = torch.Generator().manual_seed(SEED)
        x = torch.randn(count or self.batch, *self.shape, generator=generator)
        return x.to(device)


PAPER_CNN = Subject("the paper's CNN", lambda: SmallCNN((1, 28, 28)), (1, 28, 28), 10, 64)
RESNET18 = Subject(
    "ResNet-18, 10 classes", lambda: models.resnet18(num_classes=10), (3, 224, 224), 10, 2
)
RESNET18_1000 = Subject("ResNet-18, 1000 classes", models.resnet18, (3, 224, 224), 1000, 2)
VIT_B_16 = Subject("ViT-B/16, 1000 classes", models.vit_b_16, (3, 224, 224), 1000, 2)
SUBJECTS = (PAPER_CNN, RESNET18, RESNET18_1000, VIT_B_16)


def digits(count: int) -> tuple[Tensor, str]:
    """Return inputs of the paper's CNN, ``(count, 1, 28, 28)``, and their description.

    The inputs are MNIST if LEAF_DATA names the folder that contains MNIST/raw, otherwise random
    numbers.
    """
    if "LEAF_DATA" not in os.environ:
        return PAPER_CNN.inputs("cpu", count), "random inputs (LEAF_DATA is not set)"
    train = load("mnist", Path(os.environ["LEAF_DATA"])).train
    return torch.stack([train[i][0] for i in range(count)]), "MNIST"
