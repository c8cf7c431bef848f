"""Metrics in two processes, each with half of the data."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torchmetrics import MetricCollection, MetricTracker

from lightning_leaf import LocalDataMatrixEffectiveRank, LocalDataMatrixTrace
from tests.support.callbacks.training import digits

BATCHES = 4


def classifier() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10))


def batches() -> list[torch.Tensor]:
    """Return batches of different sizes, so that a mean of means would be wrong."""
    images, _ = digits()
    return list(images[:30].split([3, 11, 9, 7]))


def collected() -> MetricCollection:
    return MetricCollection(
        {"trace": LocalDataMatrixTrace(), "rank": LocalDataMatrixEffectiveRank("stable")}
    )


def over_two_processes() -> dict[str, Any]:
    """Give batch i to process i mod 2, as the tests of torchmetrics do; return the results."""
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2)
    model = classifier()
    collection, tracker = collected(), MetricTracker(LocalDataMatrixTrace(), maximize=False)
    for epoch in range(2):
        tracker.increment()
        for i in range(rank, BATCHES, 2):
            if epoch == 0:
                collection.update(model, batches()[i])
            tracker.update(model, batches()[i] * (1 + epoch))
    unsynced = LocalDataMatrixTrace(sync_on_compute=False)
    unsynced.update(model, batches()[rank])
    return {
        "collection": {name: value.item() for name, value in collection.compute().items()},
        "tracker": tracker.compute_all().tolist(),
        "own batch": unsynced.compute().item(),
    }
