"""Modules with state that a measurement could change."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, random_split
from torchmetrics.classification import MulticlassAccuracy
from torchvision.ops import StochasticDepth

from tests.support.callbacks.training import SmallCNN, train_data

# Without a C++ compiler, compiled code runs on the kernels of torch.
BACKEND = "inductor" if shutil.which("g++") else "aot_eager"


class Plain(SmallCNN):
    """A module with batch-norm, dropout, and an optimizer and a scheduler with state."""

    def __init__(self) -> None:
        super().__init__(lr=0.05)
        self.score_types: set[torch.dtype] = set()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        scores = self(batch[0])
        self.score_types.add(scores.dtype)
        loss = nn.functional.cross_entropy(scores, batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class Watched(Plain):
    """A module with a frozen batch-norm, dropout, and a forward with side effects.

    Its forward logs, draws random numbers in each mode, and counts its calls in buffers that scale
    the scores.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net.insert(2, nn.BatchNorm2d(8))
        self.net[2].requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()), persistent=False)

    def on_train_epoch_start(self) -> None:
        self.net[2].eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        # In validation the new tensor is an inference tensor.
        self.replaced = self.replaced + 1
        noise = 1e-3 * (torch.rand(()) + random.random() + np.random.rand())  # noqa: NPY002
        if self.trainer.training:
            self.log("calls", self.calls)
        return self.net(x) * (1 + noise + 1e-3 * (self.calls + self.replaced))


class Remembering(Plain):
    """A module that stores numbers, lists and tensors as attributes, some in the first forward."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.sizes: list[int] = []
        self.register_buffer("scale", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sizes.append(len(x))
        if self.scale is None:
            self.scale = x.detach().std()
        self.features = self.net[:-1](x / self.scale)
        return self.net[-1](self.features) * (1 + 1e-3 * self.calls + 1e-6 * sum(self.sizes))


class Renormalizing(Plain):
    """A module whose forward normalises its weights, one in place and one by replacing it."""

    def forward(self, x: Tensor) -> Tensor:
        self.net[-1].weight.data = nn.functional.normalize(self.net[-1].weight.data)
        with torch.no_grad():
            self.net[3].weight.div_(self.net[3].weight.norm())
        return self.net(x)


class Bounded(Plain):
    """A module whose forward limits the norm of a weight, which exceeds it after some steps."""

    def __init__(self) -> None:
        super().__init__()
        self.bound = 1.2 * float(self.net[-1].weight.detach().norm())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.net[-1].weight
        weight.data = weight.data * (self.bound / weight.data.norm()).clamp(max=1)
        return self.net(x)


class Recurrent(Plain):
    """A module with an LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.LSTM(8, 12, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x.squeeze(1))[0][:, -1])


class Scored(Plain):
    """A module with a torchmetrics sub-module, logged as an object."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(10)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.accuracy(self(batch[0]), batch[1])
        self.log("accuracy", self.accuracy, on_epoch=True, on_step=True)
        return super().training_step(batch, batch_idx)


class WithBackbone(Plain):
    """A module with a backbone, which Lightning's BackboneFinetuning freezes."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = self.net[:1]

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=self.lr)


class OwnLoaders(Watched):
    """A module with its own loaders of random subsets of the data."""

    def train_dataloader(self) -> Any:
        return DataLoader(random_split(train_data(256), [128, 128])[0], 32, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(random_split(train_data(256), [128, 128])[1], 64)


class Checkpointed(Plain):
    """A module that recomputes its activations in the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.net, x, use_reentrant=False)


class ChannelsLast(Plain):
    """A module with weights and batches in the channels-last memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.to(memory_format=torch.channels_last)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0].contiguous(memory_format=torch.channels_last), batch[1]


class Alternating(Watched):
    """A module with manual optimization: two alternating optimizers with schedulers."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        for optimizer, scheduler in zip(self.optimizers(), self.lr_schedulers(), strict=True):
            self.toggle_optimizer(optimizer)
            loss = super().training_step(batch, batch_idx)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            scheduler.step()
            self.untoggle_optimizer(optimizer)
        return loss

    def configure_optimizers(self) -> Any:
        parts = self.net[:3].parameters(), self.net[3:].parameters()
        optimizers = [torch.optim.Adam(part, lr=0.01) for part in parts]
        return optimizers, [
            torch.optim.lr_scheduler.StepLR(optimizer, 3) for optimizer in optimizers
        ]


class SecondOrder(Watched):
    """A module trained with LBFGS, which calls its closure several times per step."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


def wrapped(wrap: Callable[[nn.Module], nn.Module]) -> L.LightningModule:
    """Return the small CNN with wrapped convolutions and a wrapped last layer."""
    module = Plain()
    for position in (0, 3, 7):
        module.net[position] = wrap(module.net[position])
    return module


def with_skipped_rows(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, StochasticDepth(0.3, "row"))


class Compact(Plain):
    """A small module that compiles fast."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 10)
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def with_compiled_part(backend: str = BACKEND) -> L.LightningModule:
    module = Compact()
    module.net = torch.compile(module.net, backend=backend)
    return module


def compiled() -> Any:
    return torch.compile(Compact(), backend=BACKEND)
