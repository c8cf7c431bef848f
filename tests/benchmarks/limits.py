"""Minimum time of the counted work on this machine, and the measured time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf import LocalDataMatrix, horizontal_path
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES
from lightning_leaf.model.classifier import measuring
from tests.benchmarks.counting import Count, Work, count
from tests.benchmarks.machine import describe
from tests.benchmarks.models import SUBJECTS, Subject
from tests.benchmarks.peaks import Peaks, measure_peaks, product_precision
from tests.benchmarks.timing import Timing, devices, interleaved, readable, scaled, table

REPEATS = 5
LONGEST = 10.0
"""Longest expected duration of a measured call, in seconds. Large models of a thousand classes take
longer; their paths use products, which are not the counted work."""
PATH_STEPS = 4


@product_precision("highest")
def run() -> None:
    """Count the work, measure the peak rates, and print the share of the peak."""
    print(describe())
    report_counts()
    for device in devices():
        peaks = measure_peaks(device)
        report_peaks(device, peaks)
        for subject in SUBJECTS:
            report_limits(subject, device, peaks)


def report_counts() -> None:
    """Print the work for one input: operations and minimum bytes."""
    rows = []
    for subject in SUBJECTS:
        counted = count(subject, 1)
        for name, work in works(counted):
            operations, double = scaled(work.flops, "FLOP"), scaled(work.double_flops, "FLOP")
            rows.append((f"{subject.name}: {name}", operations, double, scaled(work.bytes, "B")))
        kept = scaled(counted.activation_bytes, "B")
        rows.append((f"{subject.name}: kept activations", "", "", kept))
    print("\nwork for one input")
    print(table(("", "float32", "float64", "bytes"), rows))


def report_peaks(device: torch.device, peaks: Peaks) -> None:
    print(
        f"\n{device.type}: measured peaks\n"
        f"  matrix product, float32   {scaled(peaks.product, 'FLOP/s')}\n"
        f"  3×3 convolution, float32  {scaled(peaks.convolution, 'FLOP/s')}\n"
        f"  matrix product, float64   {scaled(peaks.double_product, 'FLOP/s')}\n"
        f"  copy, read and written    {scaled(peaks.bandwidth, 'B/s')}"
    )
    if peaks.tf32 is not None:
        print(f"  matrix product, TF32      {scaled(peaks.tf32, 'FLOP/s')}")


def report_limits(subject: Subject, device: torch.device, peaks: Peaks) -> None:
    """Print a row for each call: minimum time by two peaks, and the share that is reached."""
    model, x = subject.model(device), subject.inputs(device)
    counted = count(subject, len(x))
    timings = dict(measured(model, x, counted, device))
    rows = []
    for name, work in works(counted):
        by_product = least_seconds(work, peaks.product, peaks)
        by_best = least_seconds(work, max(peaks.product, peaks.convolution), peaks)
        row = [name, readable(by_product), readable(by_best)]
        timing = timings.get(name)
        if timing is None:
            rows.append([*row, "not measured", "", "", ""])
        else:
            shares = (f"{least / timing.median:.0%}" for least in (by_product, by_best))
            rows.append([*row, readable(timing.median), timing.spread(), *shares])
    print(f"\n{device.type}: {subject.name}, {len(x)} inputs (medians of {REPEATS} repeats)")
    header = ("", "limit, product", "limit, best", "measured", "min – max", "of product", "of best")
    print(table(header, rows))


def works(counted: Count) -> Iterator[tuple[str, Work]]:
    yield "forward", counted.forward
    yield "backward, one class", counted.backward
    yield "exact measurement", counted.exact
    yield "path step", counted.step


def least_seconds(work: Work, rate: float, peaks: Peaks) -> float:
    """Return the longer of arithmetic at its peak rate and memory traffic at its bandwidth."""
    arithmetic = work.flops / rate + work.double_flops / peaks.double_product
    return max(arithmetic, work.bytes / peaks.bandwidth)


def measured(
    model: nn.Module, x: Tensor, counted: Count, device: torch.device
) -> Iterator[tuple[str, Timing]]:
    """Time the counted calls that are short enough."""
    with measuring(model) as classifier:
        leaf = x.clone().requires_grad_()
        scores = classifier.scores(leaf)

        def backward() -> Any:
            return torch.autograd.grad(scores[:, 0].sum(), leaf, retain_graph=True)

        passes = {
            "forward": lambda: classifier.scores(leaf),
            "backward, one class": backward,
        }
        timings = interleaved(passes, REPEATS, device)
        yield from timings.items()

    def exact() -> Any:
        g = LocalDataMatrix.at(model, x)
        return g.trace(), g.eigenvalues()

    end = x.flip(0) + 1.0

    def path() -> Any:
        return horizontal_path(
            model, x, end, step_size=1e-3, threshold=1e-6, max_steps=PATH_STEPS, progress=False
        )

    expected = timings["backward, one class"].median * (1 + scores.shape[1])
    # A path of n steps evaluates n + 1 points.
    calls: tuple[tuple[str, Callable[[], Any], int], ...] = (
        ("exact measurement", exact, 1),
        ("path step", path, PATH_STEPS + 1),
    )
    for name, call, points in calls:
        by_classes = points == 1 or scores.shape[1] <= EXACT_CLASSES
        if by_classes and expected * points <= LONGEST:
            whole = interleaved({name: call}, REPEATS, device)[name]
            yield name, Timing(tuple(seconds / points for seconds in whole.seconds))
