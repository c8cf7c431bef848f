"""Run a benchmark on one device only: ``python -m tests.gpu.benchmark NAME cuda|cpu``.

On the CPU it runs in a short form, which shows that it runs. Its times mean nothing.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from tests.benchmarks import models, peaks, timing

FEW = replace(models.PAPER_CNN, batch=2)

SHORT: dict[str, dict[str, Any]] = {
    "paths": {"PATHS": {"cpu": 4}, "STEPS": 4, "ALONE": 1, "REPEATS": 1},
    "exact": {"INPUTS": 4, "REPEATS": 1},
    "limits": {"SUBJECTS": (FEW,), "REPEATS": 1},
    "chunks": {
        "REPEATS": 1,
        "SIZES": {(FEW.name, "cpu"): (1, 2)},
        "PAPER_CNN": FEW,
        "RESNET18": FEW,
    },
    "monitor_cost": {"INTERVALS": (1,), "IDLE_CALLS": 10, "PATH_STEPS": 1},
}
"""Constants of the benchmarks in the short form."""


def main(name: str, device: str) -> None:
    """Run it."""
    timing.devices = lambda: [torch.device(device)]  # before it is imported from there
    if device == "cpu":
        peaks.SIZES, peaks.COPIED = {"cpu": (256,)}, {"cpu": 2**22}
    module = importlib.import_module(f"tests.benchmarks.{name}")
    if device == "cpu":
        shorten(module, name)
    module.run()


def shorten(module: ModuleType, name: str) -> None:
    """Replace constants of a benchmark; those that it does not have raise an error."""
    for constant, value in SHORT[name].items():
        if not hasattr(module, constant):
            raise AttributeError(f"Expected a constant {constant} in {name}; it has none.")
        setattr(module, constant, value)
    if name == "monitor_cost":
        cases = module.cases
        module.cases = lambda device: [replace(cases(device)[0], rounds=1, longest=1, shortest=2)]


if __name__ == "__main__":
    main(*sys.argv[1:])
