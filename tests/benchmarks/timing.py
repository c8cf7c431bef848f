"""Interleaved timing of several calls, and tables of the results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Name = TypeVar("Name")


@dataclass(frozen=True)
class Timing:
    """Durations of the repeats of one call, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    def spread(self) -> str:
        """Format minimum and maximum."""
        return f"{readable(min(self.seconds))} – {readable(max(self.seconds))}"


def devices() -> list[torch.device]:
    """Return the CPU and, if there is one, the accelerator."""
    return [torch.device(name) for name in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]]


def interleaved(
    calls: Mapping[Name, Callable[[], Any]], repeats: int, device: torch.device
) -> dict[Name, Timing]:
    """Time every call once per round, so that a temporary slowdown affects all of them.

    Every call first runs once without timing, because first calls choose algorithms and fill
    caches.
    """
    for call in calls.values():
        call()
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(once(call, device))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def once(call: Callable[[], Any], device: torch.device) -> float:
    """Return the duration of one call, until the device has finished it, in seconds."""
    finish(device)
    started = time.perf_counter()
    call()
    finish(device)
    return time.perf_counter() - started


def finish(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def readable(seconds: float) -> str:
    """Format a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 else f"{seconds:.0f} s"
    return f"{seconds / 1e-9:.3g} ns"


def scaled(number: float, unit: str) -> str:
    """Format a number with three digits and a decimal prefix: 1.82e9 FLOP is 1.82 GFLOP."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a table; the first column is left-aligned, the others right-aligned."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
