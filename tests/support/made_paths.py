"""Paths with given predictions, built without a model, and their snapshots."""

from collections.abc import Sequence

import torch
from tensorboard_plugin_leaf import Snapshot

from lightning_leaf import PathStatus, fisher_rao_length
from lightning_leaf.data.batches import Examples
from lightning_leaf.display.second_opinion import SecondOpinion
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.single_path import PathKind, SinglePath

METADATA = SnapshotMetadata("mine", 30, 2, "checkpoint", f"{7:016x}", 0)
UNIT = (torch.tensor(0.0), torch.tensor(1.0))


def make_path(
    log_probs: torch.Tensor,  # (T + 1, C)
    shape: tuple[int, ...] = (1, 8, 8),
    kind: PathKind = "horizontal",
    kept: int = 300,
    seed: int = 0,
    likelihood: Likelihood = "categorical",
) -> SinglePath:
    """Return a path with given predictions, and with random points and horizontality."""
    generator = torch.Generator().manual_seed(seed)
    steps = len(log_probs) - 1
    point_steps = torch.linspace(0, steps, min(kept, steps + 1)).round().long()
    horizontal = kind == "horizontal"
    return SinglePath(
        kind=kind,
        points=torch.rand(len(point_steps), *shape, generator=generator),
        point_steps=point_steps,
        log_probs=log_probs.float(),
        distance=torch.linspace(5, 1, steps + 1, dtype=torch.float64),
        horizontality=torch.rand(steps, generator=generator, dtype=torch.float64),
        fisher_rao_length=fisher_rao_length(log_probs, likelihood),
        euclidean_length=torch.linspace(0, 6, steps + 1, dtype=torch.float64),
        status=PathStatus.OUT_OF_STEPS,
        end=torch.rand(*shape, generator=generator) if horizontal else None,
        step_size=0.1,
        threshold=None if kind == "orthogonal" else 0.5,
        normalization=None,
        likelihood=likelihood,
        target=log_probs[-1].double().exp() if kind == "prediction" else None,
    )


def random_log_probs(steps: int, classes: int, seed: int = 0) -> torch.Tensor:
    """Return log-probabilities ``(T + 1, C)`` of random scores that change slowly."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(steps + 1, classes, generator=generator).cumsum(0) / 10
    return scores.double().log_softmax(1)


def random_labels(steps: int, labels: int, seed: int = 0) -> torch.Tensor:
    """Return log-probabilities ``(T + 1, C)`` of independent labels, which change slowly."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(labels, generator=generator)
    scores = scores + torch.randn(steps + 1, labels, generator=generator).cumsum(0) / 10
    return torch.nn.functional.logsigmoid(scores.double())


def flipping_log_probs(steps: int, *flips: int) -> torch.Tensor:
    """Return log-probabilities of two classes that are exchanged at the given steps."""
    first = torch.isin(torch.arange(steps + 1), torch.tensor(flips)).cumsum(0) % 2 == 0
    return torch.where(first[:, None], torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])).log()


def take_snapshot(
    *paths: SinglePath,
    bounds: tuple[torch.Tensor, torch.Tensor] | None = UNIT,
    names: tuple[str, ...] | None = None,
    opinions: Sequence[SecondOpinion] | None = None,
) -> Snapshot:
    """Return the snapshot of paths whose sources and destinations are examples."""
    path = LeafPath(paths)
    rows = range(len(path))
    sources = Examples(path.start, tuple(rows), tuple(10 + row for row in rows), names)
    ends = None if path.end is None else Examples(path.end, tuple(1 + row for row in rows))
    return make_snapshot(path, METADATA, sources, ends, bounds, opinions)
