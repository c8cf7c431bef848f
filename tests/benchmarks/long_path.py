"""A path of ten thousand steps of a model with a thousand classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils.tensorboard import SummaryWriter

from lightning_leaf import LeafPath, PathStatus, SinglePath, fisher_rao_length
from lightning_leaf.data.batches import Examples
from lightning_leaf.display.loggers import publish
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot

STEPS = 10_000
CLASSES = 1000
KEPT = 64
PIXELS = (1, 8, 8)


def long_path() -> SinglePath:
    """Return a path along the line between two images, with the predictions of a linear model."""
    generator = torch.Generator().manual_seed(0)
    # The gradients of a thousand linear scores span all 64 pixels, so any line is horizontal.
    weights = torch.randn(64, CLASSES, generator=generator)
    start, end = torch.rand(2, *PIXELS, generator=generator)
    share = torch.linspace(0, 1, STEPS + 1).reshape(-1, 1, 1, 1)
    points = start + share * (end - start)  # (T + 1, 1, 8, 8)
    log_probs = (points.flatten(1) @ weights).log_softmax(1)  # (T + 1, C)
    kept = torch.linspace(0, STEPS, KEPT).round().long()
    return SinglePath(
        kind="horizontal",
        points=points[kept],
        point_steps=kept,
        log_probs=log_probs,
        distance=(points - end).flatten(1).norm(dim=1).double(),
        horizontality=torch.ones(STEPS, dtype=torch.float64),
        fisher_rao_length=fisher_rao_length(log_probs),
        euclidean_length=share.flatten().double() * float((end - start).norm()),
        status=PathStatus.REACHED,
        end=end,
        step_size=float((end - start).norm()) / STEPS,
        threshold=0.01,
        normalization=None,
    )


def publish_long_path(folder: Path) -> SinglePath:
    """Write the path to a run of a log directory, as a callback does."""
    single = long_path()
    path = LeafPath([single])
    bounds = (torch.tensor(0.0), torch.tensor(1.0))
    sources = Examples(single.start[None], (int(single.log_probs[0].argmax()),), (0,))
    assert single.end is not None
    ends = Examples(single.end[None], (int(single.log_probs[-1].argmax()),), (1,))
    metadata = SnapshotMetadata("horizontal_path", 100, 0, "step", f"{1:016x}", 0)
    snapshot = make_snapshot(path, metadata, sources, ends, bounds)
    writer = SummaryWriter(str(folder / "long"))
    publish(snapshot, path, [SimpleNamespace(experiment=writer)])
    writer.close()
    return single
