"""Trace and spectrum of G of 64 digits: ours beside three other ways, measured in turns."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, digits
from tests.benchmarks.peaks import product_precision
from tests.benchmarks.peers import PEERS, Spectrum
from tests.benchmarks.timing import devices, interleaved, readable, table

INPUTS = 64
REPEATS = 7


@product_precision("highest")
def run() -> None:
    """Check that all agree, then print their times and how many times ours they take."""
    print(describe())
    images, what = digits(INPUTS)
    for device in devices():
        model, x = PAPER_CNN.model(device), images.to(device)
        worst = require_agreement(model, x)
        calls = {name: partial(peer, model, x) for name, peer in PEERS.items()}
        timings = interleaved(calls, REPEATS, device)
        base = timings["ours"].median
        rows = [
            (
                name,
                readable(timing.median),
                timing.spread(),
                readable(timing.median / INPUTS),
                f"{timing.median / base:.2f}",
                f"{worst[name]:.0e}",
            )
            for name, timing in timings.items()
        ]
        print(
            f"\n{device.type}: {INPUTS} inputs, {PAPER_CNN.name}, {what} "
            f"(medians of {REPEATS} repeats)"
        )
        print(table(("", "time", "min – max", "per input", "times ours", "difference"), rows))


def require_agreement(model: nn.Module, x: Tensor) -> dict[str, float]:
    """The largest difference of each one's spectra from ours, relative to G's norm."""
    mine = PEERS["ours"](model, x)
    found = {name: difference(peer(model, x), mine) for name, peer in PEERS.items()}
    for name, value in found.items():
        if not value < 1e-3:
            raise SystemExit(f"{name} is expected to agree with ours; it differs by {value:.1e}.")
    return found


def difference(one: Spectrum, other: Spectrum) -> float:
    """Of traces and eigenvalues, relative to the other's trace."""
    trace, values = (tensor.double() for tensor in one)
    expected, spectrum = (tensor.double() for tensor in other)
    gaps = torch.cat([(trace - expected).unsqueeze(1), values - spectrum], dim=1)
    return float((gaps.abs().amax(1) / expected).max())
