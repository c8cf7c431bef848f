"""Time per step of horizontal paths: all at once, and one image at a time as published."""

from __future__ import annotations

import copy
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
BUSY = os.cpu_count() or 1
"""Number of busy processes beside the paths, in the second table of a CPU."""


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
        print(
            f"\n{device.type}: paths of {STEPS} steps, {PAPER_CNN.name}, {what} "
            f"(medians of {REPEATS} repeats)\n"
            f"  in float64, last points of both are at most {apart:.0e} apart, of "
            f"{STEPS * STEP_SIZE:g} walked"
        )
        report(model, start, end, device, "alone")
        if device.type == "cpu":
            with busy_processes(BUSY):
                report(model, start, end, device, f"beside {BUSY} busy processes")


def report(model: nn.Module, start: Tensor, end: Tensor, device: torch.device, where: str) -> None:
    """Print a table of both algorithms, on a CPU also with one thread."""
    calls = {
        "ours": (len(start), partial(together, model, start, end)),
        "per sample (published)": (ALONE, partial(one_by_one, model, start[:ALONE], end[:ALONE])),
    }
    if device.type == "cpu" and torch.get_num_threads() > 1:
        calls |= {
            f"{name}, one thread": (count, partial(with_one_thread, call))
            for name, (count, call) in calls.items()
        }
    timings = interleaved({name: call for name, (_, call) in calls.items()}, REPEATS, device)
    each = {name: timings[name].median / (count * STEPS) for name, (count, _) in calls.items()}
    rows = [
        (
            name,
            str(count),
            readable(timings[name].median),
            timings[name].spread(),
            readable(each[name]),
            f"{each[name] / each['ours']:.2f}",
        )
        for name, (count, _) in calls.items()
    ]
    print(table((where, "paths", "time", "min – max", "path-step", "times ours"), rows))


def with_one_thread(call: Callable[[], Any]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        call()
    finally:
        torch.set_num_threads(threads)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep other processes busy, as the workers of data loaders are during a training."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_compute_for_ever, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        time.sleep(2)  # until they compute
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _compute_for_ever() -> None:
    while True:
        sum(range(10_000))


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
