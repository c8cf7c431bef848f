"""Kernels that paths and measurements launch on an accelerator, and waits, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lightning_leaf import horizontal_path, local_geometry, orthogonal_walk
from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, digits
from tests.benchmarks.timing import table
from tests.gpu.simulated_device import DEVICE, Simulation

STEP_SIZE = 0.1
"""Step size of the paper."""
PAIRS = 4
STEPS = (15, 47)
"""The difference of two walks is what their further steps cost."""

WALKS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "horizontal": (horizontal_path, {}),
    "horizontal, clamped to pixels": (horizontal_path, {"domain": None}),
    "horizontal, three most probable classes": (horizontal_path, {"top_classes": 3}),
    "horizontal, by products, rtol 1e-3": (horizontal_path, {"rtol": 1e-3}),
    "orthogonal": (orthogonal_walk, {}),
    "orthogonal, within valid pixels": (orthogonal_walk, {"domain": None}),
    "orthogonal, by products, rtol 1e-3": (orthogonal_walk, {"rtol": 1e-3}),
}


def run() -> None:
    """Count on the simulated device, and print a table."""
    print(describe())
    images, what = digits(2 * PAIRS)
    start, end = images.split(PAIRS)
    pixels = images.min().item(), images.max().item()
    rows = []
    with Simulation() as simulation:
        model = PAPER_CNN.model(torch.device("cpu")).to(DEVICE)
        for name, (walk, options) in WALKS.items():
            ends = (end,) if walk is horizontal_path else ()
            options = options | {"domain": pixels} if "domain" in options else options
            found = simulation.per_step(
                lambda steps, walk=walk, ends=ends, options=options: walk(
                    model,
                    start,
                    *ends,
                    max_steps=steps,
                    step_size=STEP_SIZE,
                    progress=False,
                    **options,
                ),
                *STEPS,
            )
            rows.append((f"a step: {name}", f"{found.kernels:.0f}", f"{found.waits:.2f}"))
        inputs = PAPER_CNN.inputs("cpu", 32)
        local_geometry(model, inputs)
        with simulation.counting() as counts:
            local_geometry(model, inputs)
    kernels, waits = sum(counts.kernels.values()), sum(counts.waits.values())
    rows.append(("a measurement of 32 inputs", str(kernels), str(waits)))
    print(f"\nsimulated device: {PAPER_CNN.name}, {what}")
    print(table(("", "kernels", "waits"), rows))
