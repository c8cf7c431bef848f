"""Time per input of several ways to compute the Jacobian, by chunk size."""

from __future__ import annotations

import copy
import math
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_leaf.geometry.contrast_gradients import (
    INPUTS_IN_ONE_PASS,
    NUMBERS_IN_ONE_PASS,
    all_cotangents,
    in_one_pass,
    one_by_one,
)
from tests.benchmarks.counting import count
from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, RESNET18, Subject
from tests.benchmarks.peaks import product_precision
from tests.benchmarks.timing import Timing, devices, interleaved, scaled, table

REPEATS = 5
SIZES: Mapping[tuple[str, str], tuple[int, ...]] = {
    (PAPER_CNN.name, "cpu"): (1, 4, 8, 16, 32, 64, 128, 256),
    (PAPER_CNN.name, "cuda"): (1, 4, 8, 16, 32, 64, 128, 256, 1024),
    (RESNET18.name, "cpu"): (1, 2, 4),
    (RESNET18.name, "cuda"): (1, 4, 16, 64),
}
"""Chunk sizes of each subject on each kind of device."""
TOLERANCE = 1e-9

Jacobian = Callable[[nn.Module, Tensor], Tensor]  # (b, ...) -> (b, C − 1, d)


@product_precision("highest")
def run() -> None:
    """Check that all ways agree, then print their time per input for every chunk size."""
    print(describe())
    print(f"caches: {caches()}")
    for device in devices():
        for subject in (PAPER_CNN, RESNET18):
            report(subject, device)


def loop(model: nn.Module, x: Tensor) -> Tensor:
    """Compute the contrasts by one backward pass for each of them over all inputs."""
    x = x.clone().requires_grad_()
    scores = model(x.clone())
    return one_by_one(scores, x, all_cotangents(scores, "categorical"))


def batched(model: nn.Module, x: Tensor) -> Tensor:
    """Compute the contrasts by one backward pass, vectorised over them."""
    x = x.clone().requires_grad_()
    scores = model(x.clone())
    cotangents = all_cotangents(scores, "categorical")
    rows = in_one_pass(scores, x, cotangents, len(cotangents))
    assert rows is not None
    return rows


def copies(model: nn.Module, x: Tensor) -> Tensor:
    """Compute the contrasts by one backward pass over C − 1 copies of every input."""
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    many = x.repeat_interleave(classes - 1, dim=0).requires_grad_()  # (b (C − 1), ...)
    scores = model(many.clone()).reshape(len(x), classes - 1, classes)
    contrasts = all_cotangents(scores[:, 0], "categorical")[:, 0]  # (C − 1, C)
    (gradients,) = torch.autograd.grad((scores * contrasts).sum(), many)
    return gradients.reshape(len(x), classes - 1, -1)


def loop_channels_last(model: nn.Module, x: Tensor) -> Tensor:
    """Compute the loop on inputs in the channels-last memory format."""
    x = x.clone(memory_format=torch.channels_last).requires_grad_()
    scores = model(x.clone())
    return one_by_one(scores, x, all_cotangents(scores, "categorical"))


WAYS: dict[str, Jacobian] = {
    "loop": loop,
    "batched": batched,
    "copies": copies,
    "loop, channels last": loop_channels_last,
}


def report(subject: Subject, device: torch.device) -> None:
    """Print a table of times per input; mark the best of every row and of the table."""
    model = subject.model(device)
    sizes = SIZES[subject.name, device.type]
    require_agreement(model, subject.inputs(device, 2))
    calls = {(size, way): Chunks(subject, model, size, way) for size in sizes for way in WAYS}
    timings = {
        key: Timing(tuple(seconds / calls[key].inputs for seconds in whole.seconds))
        for key, whole in interleaved(calls, REPEATS, device).items()
    }
    best = min(timings.values(), key=lambda timing: timing.median)
    kept = count(subject, 1).activation_bytes
    rows = []
    for size in sizes:
        row = [timings[size, way] for way in WAYS]
        fastest = min(row, key=lambda timing: timing.median)
        marks = ["**" if each is best else "*" if each is fastest else "" for each in row]
        cells = [mark + milliseconds(each) for mark, each in zip(marks, row, strict=True)]
        rows.append([str(size), scaled(kept * size, "B"), *cells])
    print(
        f"\n{device.type}: {subject.name}, ms per input, median (min–max) of {REPEATS} repeats\n"
        "  * best way for a chunk size, ** best of all"
    )
    print(table(("chunk", "activations", *WAYS), rows))
    if device.type == "cpu":
        numbers = (subject.classes - 1) * math.prod(subject.shape)
        most = min(INPUTS_IN_ONE_PASS, NUMBERS_IN_ONE_PASS // numbers)
        print(f"  the package takes one pass for up to {most} inputs")
    if device.type == "cpu":
        # Large tensors are requested from the kernel at every call.
        faults = ([str(s), *(f"{calls[s, w].page_faults():.0f}" for w in WAYS)] for s in sizes)
        print("  page faults per input")
        print(table(("chunk", *WAYS), faults))


def milliseconds(timing: Timing) -> str:
    median, least, most = (
        f"{1e3 * seconds:.3g}" for seconds in (timing.median, timing.best, max(timing.seconds))
    )
    return f"{median} ({least}–{most})"


class Chunks:
    """Callable that runs one way over several chunks of inputs."""

    def __init__(self, subject: Subject, model: nn.Module, size: int, way: str) -> None:
        device = next(model.parameters()).device
        x = subject.inputs(device, max(size, subject.batch))
        self.inputs = len(x)
        self._model = model
        self._chunks = x.split(size)
        self._way = WAYS[way]

    def __call__(self) -> None:
        for chunk in self._chunks:
            self._way(self._model, chunk)

    def page_faults(self) -> float:
        """Return the number of memory pages that the kernel allocates and clears per input."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        self()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / self.inputs


def require_agreement(model: nn.Module, x: Tensor) -> None:
    """Check that all ways compute the same Jacobian.

    The check uses float64: rounding in float32 changes the sign of a few inputs of a ReLU.

    Raises:
        SystemExit: If a way's Jacobian differs from the loop's.
    """
    model, x = copy.deepcopy(model).double(), x.double()
    expected = loop(model, x)
    for name, way in WAYS.items():
        gap = float((way(model, x) - expected).norm() / expected.norm())
        if not gap < TOLERANCE:
            raise SystemExit(f"{name} must agree with the loop; it differs by {gap:.1e}.")


def caches() -> str:
    """Return the sizes of the processor's caches and of the accelerator's L2 cache."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, size, kind = (
            (index / name).read_text().strip() for name in ("level", "size", "type")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    if torch.cuda.is_available():
        found["accelerator's L2"] = scaled(torch.cuda.get_device_properties(0).L2_cache_size, "B")
    return ", ".join(f"{name} {size}" for name, size in found.items()) or "unknown"
