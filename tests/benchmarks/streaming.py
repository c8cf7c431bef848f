"""Peak memory for many inputs and a thousand classes, compared with the size of their gradients."""

from __future__ import annotations

import subprocess
import sys
import time

import torch

from lightning_leaf import local_geometry
from lightning_leaf.demo.classifier import SmallCNN
from tests.benchmarks.machine import describe, peak_memory
from tests.benchmarks.models import RESNET18_1000
from tests.benchmarks.timing import scaled, table

CASES = {
    "small CNN on 8×8, 10 classes": (1_000, 100_000),
    "ResNet-18 on 224×224, 1000 classes": (8, 64),
}


def run() -> None:
    """Measure few and many inputs, each in a separate process, and print the peak memory."""
    print(describe())
    rows = []
    for case, counts in CASES.items():
        for count in counts:
            # The recorded peak of a process never decreases, so each measurement starts one.
            arguments = [sys.executable, "-m", "tests.benchmarks.streaming", case, str(count)]
            finished = subprocess.run(arguments, capture_output=True, text=True, check=True)
            rows.append([case, str(count), *finished.stdout.split("|")])
    print(table(("", "inputs", "took", "peak above the model's", "their gradients"), rows))


def measure(case: str, count: int) -> None:
    """Print the time, the growth of the peak memory, and the size of all gradients."""
    if case.startswith("small"):
        model, shape, classes = SmallCNN((1, 8, 8)).eval(), (1, 8, 8), 10
    else:
        model, shape, classes = RESNET18_1000.model("cpu"), RESNET18_1000.shape, 1000
    x = torch.randn(count, *shape)
    with torch.no_grad():
        model(x[:1])
    before = peak_memory()
    started = time.perf_counter()
    found = local_geometry(model, x)
    seconds = time.perf_counter() - started
    assert bool(found.finite.all())
    grown, gradients = peak_memory() - before, 4.0 * classes * x.numel()
    print(f"{seconds:.0f} s|{scaled(grown, 'B')}|{scaled(gradients, 'B')}", end="")


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
