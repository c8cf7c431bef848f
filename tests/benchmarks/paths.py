"""Time per step of horizontal paths: all at once, and one image at a time as published."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf import horizontal_path
from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, digits
from tests.benchmarks.peaks import product_precision
from tests.benchmarks.peers import per_sample_path
from tests.benchmarks.timing import devices, interleaved, readable, table

PATHS = {"cpu": 32, "cuda": 256}
STEPS = 50
STEP_SIZE = 0.1
THRESHOLD = 1.0
"""Step size and threshold of the paper; after 50 steps no path has reached its destination."""
ALONE = 4
"""Number of paths for the published algorithm, which walks them one after another."""
REPEATS = 3


@product_precision("highest")
def run() -> None:
    """Check that both end at the same points, then print the time per step of one path."""
    print(describe())
    for device in devices():
        count = PATHS[device.type]
        images, what = digits(2 * count)
        model = PAPER_CNN.model(device)
        start, end = images.to(device).split(count)
        apart = largest_gap(model, start[:ALONE], end[:ALONE])
        timings = interleaved(
            {
                "ours": partial(together, model, start, end),
                "per sample (published)": partial(one_by_one, model, start[:ALONE], end[:ALONE]),
            },
            REPEATS,
            device,
        )
        steps = {"ours": count * STEPS, "per sample (published)": ALONE * STEPS}
        each = {name: timing.median / steps[name] for name, timing in timings.items()}
        rows = [
            (
                name,
                str(steps[name] // STEPS),
                readable(timing.median),
                timing.spread(),
                readable(each[name]),
                f"{each[name] / each['ours']:.2f}",
            )
            for name, timing in timings.items()
        ]
        print(
            f"\n{device.type}: paths of {STEPS} steps, {PAPER_CNN.name}, {what} "
            f"(medians of {REPEATS} repeats)\n"
            f"  in float64, last points of both are at most {apart:.0e} apart, of "
            f"{STEPS * STEP_SIZE:g} walked"
        )
        print(table(("", "paths", "time", "min – max", "path-step", "times ours"), rows))


def together(model: nn.Module, start: Tensor, end: Tensor) -> Any:
    """Walk all paths at once."""
    return horizontal_path(
        model,
        start,
        end,
        step_size=STEP_SIZE,
        max_steps=STEPS,
        threshold=THRESHOLD,
        chunk_size=len(start),
        progress=False,
    )


def one_by_one(model: nn.Module, start: Tensor, end: Tensor) -> Tensor:
    return torch.stack(
        [
            per_sample_path(model, x, y, STEP_SIZE, STEPS, THRESHOLD)
            for x, y in zip(start, end, strict=True)
        ]
    )


def largest_gap(model: nn.Module, start: Tensor, end: Tensor) -> float:
    """Return the largest distance between the last points of both algorithms, in float64.

    In float32, rounding may take a path to the other side of a ReLU's kink.

    Raises:
        SystemExit: If they differ on the CPU. On CUDA the published solver assumes full rank, which
            the problem does not have, and adds one direction of rounding noise.
    """
    model, start, end = copy.deepcopy(model).double(), start.double(), end.double()
    paths = together(model, start, end)
    last = torch.stack([path.points[-1] for path in paths])
    gaps = (last - one_by_one(model, start, end).cpu()).flatten(1).norm(dim=1)
    apart = float(gaps.max())
    if start.device.type == "cpu" and not apart < 1e-6 * STEPS * STEP_SIZE:
        raise SystemExit(
            f"Both algorithms must end at the same points; they are {apart:.1e} apart."
        )
    return apart
