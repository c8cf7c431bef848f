"""Run a benchmark on one device only: ``python -m tests.gpu.benchmark NAME cuda|cpu``.

On the CPU it runs in a short form, which shows that it runs. Its times mean nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch

from tests.benchmarks import models, peaks, timing

SHORT: dict[str, dict[str, Any]] = {
    "paths": {"PATHS": {"cpu": 4}, "STEPS": 4, "ALONE": 1, "REPEATS": 1},
    "exact": {"INPUTS": 4, "REPEATS": 1},
    "limits": {"SUBJECTS": (models.PAPER_CNN,), "REPEATS": 1},
    "chunks": {"REPEATS": 1, "SIZES": {(models.PAPER_CNN.name, "cpu"): (1, 4)}},
}
"""Values of the benchmarks' constants in the short form."""


def main(name: str, device: str) -> None:
    """Run it."""
    timing.devices = lambda: [torch.device(device)]  # before it is imported from there
    if device == "cpu":
        peaks.SIZES, peaks.COPIED = {"cpu": (256,)}, {"cpu": 2**22}
    module = importlib.import_module(f"tests.benchmarks.{name}")
    for constant, value in SHORT.get(name, {}).items() if device == "cpu" else ():
        getattr(module, constant)  # fails if the benchmark has no such constant any more
        setattr(module, constant, value)
    module.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
