"""A loop of Fabric with DDP in two processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from lightning_leaf import LeafMonitor, LeafWriter, horizontal_path
from tests.support.loops.training import STEPS, batches, make_model, probe


def train_with_ddp(folder: Path | None) -> list[Any]:
    """Train with DDP; with a folder, measure and write into it. Both processes call it.

    Returns:
        The steps that this process measured, and the weights and random stream.
    """
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    torch.manual_seed(fabric.global_rank)
    inner = make_model()
    model, optimizer = fabric.setup(inner, torch.optim.SGD(inner.parameters(), lr=0.1))
    writer = None if folder is None else LeafWriter(folder)
    monitor = LeafMonitor(probe(), writer=writer, every_n_steps=2)
    images, _ = probe()
    for step, (x, y) in enumerate(batches()):
        if folder is not None:
            monitor.measure_if_due(model, step)
        half = slice(fabric.global_rank, None, 2)
        optimizer.zero_grad()
        fabric.backward(nn.functional.cross_entropy(model(x[half]), y[half]))
        optimizer.step()
    if writer is not None:
        writer.snapshot(
            lambda: horizontal_path(model, images[:2], images[2:4], max_steps=3, progress=False),
            STEPS,
        )
        writer.close()
    state = [value.tolist() for value in inner.state_dict().values()]
    return [monitor.history["step"], state, torch.get_rng_state().tolist(), os.environ["RANK"]]
