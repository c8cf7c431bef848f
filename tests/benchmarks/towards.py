"""How much of another image fits into an image while the prediction stays the same.

Walks towards images of other classes are compared with straight lines that stop at the same KL
divergence, and with walks without corrections. A second network, trained from another seed, judges
where they end. ``LEAF_DATA`` names the folder above ``MNIST/raw``; without it, the images are the
8×8 digits of scikit-learn.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from lightning_leaf import orthogonal_walk
from lightning_leaf.data.image_datasets import load
from lightning_leaf.demo.classifier import SmallCNN
from lightning_leaf.geometry.divergence import kl_divergence
from tests.benchmarks.machine import describe
from tests.benchmarks.timing import table

PAIRS = 32
BATCH, TRAINING_STEPS, LEARNING_RATE = 60, 1500, 0.05
LIMITS = 0.001, 0.01, 0.1
PARTS = 200
"""Parts of a straight line at which its prediction is compared with the first one."""
RADIUS = "lightning_leaf.paths.toward_image.FREE_RADIUS"


def run() -> None:
    """Train two networks, walk with the first and judge with the second; print a table."""
    print(describe())
    folder = os.environ.get("LEAF_DATA")
    name = "digits" if folder is None else "mnist"
    data = load(name, Path(folder or ""))
    model, judge = (trained(data.train, data.image_shape, seed) for seed in (0, 1))
    x, y = pairs(data.val)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    print(f"\n{name}: {PAIRS} pairs of validation images of different classes, the paper's CNN")
    rows = []
    for max_kl in LIMITS:
        end, share = straight(model, x, y, max_kl)
        rows.append(("straight line", f"{max_kl:g}", *judged(model, judge, x, y, end, share)))
        for what, radius, domain in (
            ("walk without corrections", torch.inf, None),
            ("walk", 0.7, None),
            ("walk within the domain", 0.7, (low, high)),
        ):
            started = time.perf_counter()
            with patch(RADIUS, radius):
                walk = orthogonal_walk(
                    model, x, towards=y, max_kl=max_kl, domain=domain, progress=False
                )
            spent = (time.perf_counter() - started) / PAIRS
            found = judged(model, judge, x, y, walk.points[:, -1], walk.covered)
            steps = f"{float(walk.steps.double().mean()):.0f}"
            rows.append((what, f"{max_kl:g}", *found, steps, f"{spent:.2f} s"))
    header = "", "max_kl", "covered", "KL", "judge: own", "other", "steps", "time of one"
    print(table(header, [(*row, *[""] * (len(header) - len(row))) for row in rows]))


def trained(data: Any, shape: tuple[int, int, int], seed: int) -> nn.Module:
    """Return a network that SGD has trained."""
    torch.manual_seed(seed)
    network = SmallCNN(shape).network
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    for _ in range(TRAINING_STEPS):
        rows = torch.randint(len(data), (BATCH,)).tolist()
        images, labels = zip(*(data[i] for i in rows), strict=True)
        loss = nn.functional.cross_entropy(
            network(torch.stack(images)), torch.as_tensor([int(label) for label in labels])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def pairs(data: Any) -> tuple[Tensor, Tensor]:
    """Return images, and images of other classes."""
    generator = torch.Generator().manual_seed(0)
    found: list[tuple[Tensor, Tensor]] = []
    while len(found) < PAIRS:
        i, j = torch.randint(len(data), (2,), generator=generator).tolist()
        (x, own), (y, other) = data[i], data[j]
        if int(own) != int(other):
            found.append((x, y))
    first, second = zip(*found, strict=True)
    return torch.stack(first), torch.stack(second)


def log_probs(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).double().log_softmax(1)


def straight(model: nn.Module, x: Tensor, y: Tensor, max_kl: float) -> tuple[Tensor, Tensor]:
    """Return the last points of straight lines within the bound, and the shares covered."""
    first, share, within = log_probs(model, x), torch.zeros(len(x)), torch.ones(len(x)).bool()
    for part in torch.arange(1, PARTS + 1) / PARTS:
        within &= kl_divergence(first, log_probs(model, x + part * (y - x))) <= max_kl
        share = torch.where(within, part, share)
    return x + share[:, None, None, None] * (y - x), share


def judged(
    model: nn.Module, judge: nn.Module, x: Tensor, y: Tensor, end: Tensor, share: Tensor
) -> tuple[str, ...]:
    """Return the share covered, the divergence, and how often the judge says own and other."""
    kl = kl_divergence(log_probs(model, x), log_probs(model, end))
    own, other, found = (log_probs(judge, z).argmax(1) for z in (x, y, end))
    return (
        f"{100 * float(share.mean()):.0f} %",
        f"{float(kl.median()):.1g}",
        f"{100 * float((found == own).double().mean()):.0f} %",
        f"{100 * float((found == other).double().mean()):.0f} %",
    )
