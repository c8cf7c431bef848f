"""Prediction paths: the choice of their settings, and their cost beside Algorithm 1.

``LEAF_DATA`` names the folder above ``MNIST/raw``; without it, the images are the 8×8 digits of
scikit-learn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from lightning_leaf import LeafPath, PathStatus, horizontal_path, prediction_path
from lightning_leaf.data.image_datasets import DataName, load
from tests.benchmarks.machine import describe
from tests.benchmarks.timing import table
from tests.benchmarks.towards import pairs, trained

SETTINGS = "lightning_leaf.paths.toward_prediction."
DEFAULTS: dict[str, Any] = {
    "DAMPING": 1e-3,
    "LEAST_DAMPING": 1e-7,
    "LARGEST_RISE": 2.0,
    "SHARES": (1.0, 0.5, 0.25),
}
CHOICES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("default", {}, {}),
    ("damping 0.01", {"DAMPING": 1e-2}, {}),
    ("damping 1e-4", {"DAMPING": 1e-4}, {}),
    ("damping 1e-5", {"DAMPING": 1e-5}, {}),
    ("damping always 1e-4", {"DAMPING": 1e-4, "LEAST_DAMPING": 1e-4}, {}),
    ("damping always 1e-3", {"LEAST_DAMPING": 1e-3}, {}),
    ("at most 1 nat", {"LARGEST_RISE": 1.0}, {}),
    ("at most 4 nats", {"LARGEST_RISE": 4.0}, {}),
    ("any change", {"LARGEST_RISE": 1e9}, {}),
    ("shares down to 1/30", {"SHARES": (1.0, 0.5, 0.25, 0.1, 0.03)}, {}),
    ("whole steps only", {"SHARES": (1.0,)}, {}),
    ("step size 0.03", {}, {"step_size": 0.03}),
    ("step size 0.3", {}, {"step_size": 0.3}),
    ("tolerance 0.1", {}, {"tolerance": 0.1}),
    ("tolerance 0.01", {}, {"tolerance": 0.01}),
    ("tolerance 0.001", {}, {"tolerance": 0.001}),
)
CLASSES = 10, 100, 1000
HIDDEN = 1200


def run() -> None:
    """Train a network, and print three tables."""
    print(describe())
    folder = os.environ.get("LEAF_DATA")
    name: DataName = "digits" if folder is None else "mnist"
    data = load(name, Path(folder or ""))
    model = trained(data.train, data.image_shape, 0)
    x, y = pairs(data.val)
    print_choices(name, model, x, y)
    print("\nPaths to the predictions of other images, and Algorithm 1 to these images")
    print_costs(model, x, y)
    print(f"\nClasses: two paths, network with {HIDDEN} inputs and {HIDDEN} hidden units")
    print_classes()


def print_choices(name: str, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Print what every choice of a setting does to paths from x."""
    with torch.no_grad():
        order = model(x).argsort(1, descending=True)
    starts, targets = x.repeat(3, 1, 1, 1), order[:, [1, 4, 9]].T.flatten()
    print(
        f"\n{name}: {len(targets)} paths from {len(x)} validation images to the 2nd, 5th and 10th "
        "most probable class, the paper's CNN"
    )
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    rows = []
    for label, constants, options in (*CHOICES, ("within the domain", {}, {"domain": (low, high)})):
        compute = partial(prediction_path, model, starts, targets, progress=False, **options)
        rows.append((label, *summary(settled(constants, compute)[0])))
    print(table(("", "arrive", "steps", "length", "longest", "change"), rows))


def print_costs(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Print the cost of both kinds of paths."""
    with torch.no_grad():
        asked = model(y).softmax(1)
    rows = []
    for label, compute in (
        ("prediction path", partial(prediction_path, model, x, asked, progress=False)),
        ("Algorithm 1", partial(horizontal_path, model, x, y, progress=False)),
    ):
        path, seconds = settled({}, compute)
        rows.append((label, *beside(path, seconds, asked)))
    header = "", "arrive", "steps", "passes", "per unit", "length", "change", "time of one"
    print(table(header, rows))


def print_classes() -> None:
    """Print the time of a step by gradients of all classes and by products."""
    rows = []
    for classes in CLASSES:
        torch.manual_seed(0)
        wide = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, classes))
        inputs, targets = torch.randn(2, HIDDEN), torch.tensor([3, 7])
        for label, rtol in (("gradients of all classes", 0.0), ("products", 1e-3)):
            compute = partial(prediction_path, wide, inputs, targets, rtol=rtol, progress=False)
            path, seconds = settled({}, compute)
            arrived = sum(status is PathStatus.REACHED for status in path.status)
            steps = int(path.steps.max())
            each = 1000 * seconds / (steps + 1)
            rows.append((str(classes), label, f"{arrived} of 2", str(steps), f"{each:.0f} ms"))
    print(table(("classes", "lifts by", "arrive", "steps", "time of a step"), rows))


def settled(constants: dict[str, Any], compute: Callable[[], LeafPath]) -> tuple[LeafPath, float]:
    """Return the paths with other constants, and the seconds that they took."""
    with ExitStack() as stack:
        for constant, value in (DEFAULTS | constants).items():
            stack.enter_context(patch(SETTINGS + constant, value))
        started = time.perf_counter()
        path = compute()
        return path, time.perf_counter() - started


def summary(path: LeafPath) -> tuple[str, ...]:
    arrived = torch.tensor([status is PathStatus.REACHED for status in path.status])
    ratio = path.length_ratio[arrived]
    ratio = ratio[ratio.isfinite()]
    return (
        f"{int(arrived.sum())} of {len(path)}",
        f"{float(path.steps.double().mean()):.1f}",
        f"{float(ratio.mean()):.3f}",
        f"{float(ratio.max()):.2f}",
        f"{float(path.change.mean()):.2f}",
    )


def beside(path: LeafPath, seconds: float, asked: Tensor) -> tuple[str, ...]:
    """Return how many paths end at the prediction asked for, and what they cost."""
    arrived = sum(status is PathStatus.REACHED for status in path.status)
    steps = path.steps.double()
    # At each point, the first and the last one included: a forward and C − 1 backward passes, and
    # the trials of a prediction path.
    trials = 3 if path.kind == "prediction" else 0
    passes = (steps + 1) * (asked.shape[1] + trials)
    length = path.fisher_rao_length[:, -1]
    return (
        f"{arrived} of {len(path)}",
        f"{float(steps.mean()):.0f}",
        f"{float(passes.mean()):.0f}",
        f"{float(passes.sum() / length.sum()):.0f}",
        f"{float(path.length_ratio.nanmean()):.3f}",
        f"{float(path.change.mean()):.2f}",
        f"{seconds / len(path):.2f} s",
    )
