"""Loops of plain PyTorch and of Fabric, of which everything that training changes is returned."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

Step = Callable[[nn.Module, int], Any]
"""Called with the model and the number of optimizer steps taken, before each step."""

STEPS = 6


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(144, 5),
    )  # fmt: skip


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.rand(16, 1, 8, 8, generator=generator), torch.randint(5, (16,), generator=generator))
        for _ in range(STEPS)
    ]


def probe() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(6, 1, 8, 8, generator=generator), torch.arange(6) % 5


def train_plainly(before_step: Step) -> list[Any]:
    """Train, and return weights, optimizer states and random streams."""
    _seed()
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step, (x, y) in enumerate(batches()):
        before_step(model, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    before_step(model, STEPS)
    return _everything(model, optimizer)


def train_with_fabric(before_step: Step, precision: Any = "32-true") -> list[Any]:
    """Do the same with a model and an optimizer that Fabric has wrapped."""
    _seed()
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    inner = make_model()
    model, optimizer = fabric.setup(inner, torch.optim.SGD(inner.parameters(), 0.1, momentum=0.9))
    for step, (x, y) in enumerate(batches()):
        before_step(model, step)
        optimizer.zero_grad()
        fabric.backward(nn.functional.cross_entropy(model(x), y))
        optimizer.step()
    before_step(model, STEPS)
    return _everything(inner, optimizer.optimizer)


def differences(one: list[Any], other: list[Any]) -> list[int]:
    """Return the positions of the parts that are not bitwise the same."""
    assert len(one) == len(other)
    return [i for i, pair in enumerate(zip(one, other, strict=True)) if not torch.equal(*pair)]


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def _everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    momenta = [optimizer.state[p]["momentum_buffer"] for p in model.parameters()]
    streams = [random.random(), np.random.rand()]  # noqa: NPY002
    return [*model.state_dict().values(), *momenta, torch.get_rng_state(), torch.tensor(streams)]
