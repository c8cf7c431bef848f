"""Measured peak rates of arithmetic and memory of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import conv2d

from tests.benchmarks.timing import interleaved

REPEATS = 3
SIZES = {"cpu": (512, 1024, 2048, 3072), "cuda": (2048, 4096, 8192, 12288)}
COPIED = {"cpu": 2**28, "cuda": 2**31}
"""Bytes to copy: many times the size of any cache."""


@dataclass(frozen=True)
class Peaks:
    """Peak rates, in operations and bytes per second."""

    product: float
    """Matrix products in float32 (sgemm)."""
    convolution: float
    """3×3 convolutions in float32; they use another library, which is faster on some machines."""
    double_product: float
    """Matrix products in float64 (dgemm)."""
    bandwidth: float
    """Bytes read and written by a copy."""
    tf32: float | None
    """Matrix products of float32 numbers rounded to TF32; None without an accelerator."""


def measure_peaks(device: torch.device) -> Peaks:
    """Measure the best rate over several sizes and repeats."""
    with product_precision("highest"):
        product, double = product_peak(device), product_peak(device, torch.float64)
        convolution = convolution_peak(device)
    tf32 = None
    if device.type == "cuda":
        with product_precision("high"):
            tf32 = product_peak(device)
    return Peaks(product, convolution, double, copy_bandwidth(device), tf32)


def product_peak(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    rates = []
    for size in SIZES[device.type]:
        a, b = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(a)
        rates.append(2 * size**3 / _best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device))
    return max(rates)


def convolution_peak(device: torch.device) -> float:
    rates = []
    for channels in (64, 128, 256):
        weight = torch.rand(channels, channels, 3, 3, device=device)
        for batch in (4, 16) if device.type == "cpu" else (64, 256):
            x = torch.rand(batch, channels, 30, 30, device=device)
            work = 2 * 9 * channels**2 * 28 * 28 * batch
            rates.append(work / _best(lambda x=x, weight=weight: conv2d(x, weight), device))
    return max(rates)


def copy_bandwidth(device: torch.device) -> float:
    source = torch.ones(COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device)


def _best(call: Callable[[], Any], device: torch.device) -> float:
    return interleaved({"": call}, REPEATS, device)[""].best


@contextmanager
def product_precision(precision: str) -> Iterator[None]:
    """Compute float32 products in full precision ("highest") or rounded to TF32 ("high")."""
    before, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = tf32
