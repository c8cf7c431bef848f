"""Time of the trace and spectrum of G for 64 digits, compared with three other ways."""

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
    """Check that all ways agree, then print their times and the ratios to ours."""
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
    """Return the largest difference of the spectra of each way from ours, relative to the trace."""
    mine = PEERS["ours"](model, x)
    found = {name: difference(peer(model, x), mine) for name, peer in PEERS.items()}
    for name, value in found.items():
        if not value < 1e-3:
            raise SystemExit(f"{name} must agree with ours; it differs by {value:.1e}.")
    return found


def difference(one: Spectrum, other: Spectrum) -> float:
    """Return the largest difference of traces and eigenvalues, relative to the other's trace."""
    trace, values = (tensor.double() for tensor in one)
    expected, spectrum = (tensor.double() for tensor in other)
    gaps = torch.cat([(trace - expected).unsqueeze(1), values - spectrum], dim=1)
    return float((gaps.abs().amax(1) / expected).max())
