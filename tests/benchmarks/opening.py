"""What it costs to open a model for every chunk of a measurement instead of once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, fields
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torchvision import models

from lightning_leaf import local_geometry
from lightning_leaf.model import classifier, quiet
from lightning_leaf.model.classifier import Classifier, measuring
from lightning_leaf.model.forward_pass import ForwardPass
from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, Subject
from tests.benchmarks.timing import Timing, devices, interleaved, readable, table

REPEATS = 7
WEIGHTS = 100_000_000
"""Number of weights of a large model, for the cost of the precaution against writes to them."""
SMALL_RESNET = Subject(
    "ResNet-18, 32×32 pixels", lambda: models.resnet18(num_classes=10), (3, 32, 32), 10, 32
)
HALF_RESNET = Subject(
    "the same in bfloat16",
    lambda: models.resnet18(num_classes=10).bfloat16(),
    (3, 32, 32),
    10,
    32,
)
MEASUREMENTS: dict[Subject, tuple[tuple[int, int], ...]] = {
    PAPER_CNN: ((32, 32), (256, 32), (256, 4)),
    SMALL_RESNET: ((4, 4), (32, 4)),
    HALF_RESNET: ((32, 4),),
}
"""Inputs of a measurement and inputs of a chunk."""


def run() -> None:
    """Check that both ways agree, then print counts, times and their ratio for each measurement."""
    print(describe())
    for device in devices():
        for subject, measurements in MEASUREMENTS.items():
            report(subject, measurements, device)
        report_weights(device)


def opened_once(model: nn.Module, x: Tensor, chunk_size: int) -> Tensor:
    """Trace of every input. The open classifier is handed down to all chunks."""
    return local_geometry(model, x, chunk_size=chunk_size).trace


def opened_per_chunk(model: nn.Module, x: Tensor, chunk_size: int) -> Tensor:
    """Trace of every input. Each chunk opens the model again inside an open measurement."""
    with measuring(model):
        parts = [local_geometry(model, part, chunk_size=chunk_size) for part in x.split(chunk_size)]
    return torch.cat([part.trace for part in parts])


WAYS: dict[str, Callable[[nn.Module, Tensor, int], Tensor]] = {
    "opened once": opened_once,
    "opened per chunk": opened_per_chunk,
}


@dataclass
class Counts:
    """Number of calls during one measurement."""

    forward: int = 0
    backward: int = 0
    weight_copies: int = 0
    quiet: int = 0


@contextmanager
def counted() -> Iterator[Counts]:
    """Count forward and backward passes, copies of all weights, and entries of ``quiet``."""
    counts = Counts()

    def counting(name: str, call: Callable[..., Any], condition: Callable[..., bool]) -> Any:
        def counted_call(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            setattr(counts, name, getattr(counts, name) + condition(*arguments, **options))
            return result

        return counted_call

    def always(*_: Any, **__: Any) -> bool:
        return True

    def is_half_precision(opened: Classifier, *_: Any, **__: Any) -> bool:
        return opened._run.precision.copies

    patches = [
        (torch.autograd, "grad", "backward", always),
        (classifier, "quiet", "quiet", always),
        (quiet, "cheapest_place", "weight_copies", always),  # once per copy of all weights
        (Classifier, "__init__", "weight_copies", is_half_precision),
        (ForwardPass, "__call__", "forward", always),
    ]
    with ExitStack() as stack:
        for owner, attribute, name, condition in patches:
            replacement = counting(name, getattr(owner, attribute), condition)
            stack.enter_context(mock.patch.object(owner, attribute, replacement))
        yield counts


def report(
    subject: Subject, measurements: tuple[tuple[int, int], ...], device: torch.device
) -> None:
    """Print a table with both ways to take every measurement of a subject."""
    model = subject.model(device)
    rows = []
    for inputs, chunk_size in measurements:
        x = subject.inputs(device, inputs)
        calls = {name: Measurement(way, model, x, chunk_size) for name, way in WAYS.items()}
        require_agreement(calls)
        timings = timed(calls, device)
        best = timings["opened once"].best
        for name, call in calls.items():
            with counted() as counts:
                call()
            timing = timings[name]
            times = [readable(timing.best), readable(timing.median), f"{timing.best / best:.2f}"]
            what = f"{inputs} in chunks of {chunk_size}"
            rows.append([what, name, *map(str, astuple(counts)), *times])
    clock = "processor time" if device.type == "cpu" else "time"
    print(f"\n{device.type}: {subject.name}, {clock} of {REPEATS} repeats")
    header = [field.name.replace("_", " ") for field in fields(Counts)]
    print(table(("inputs", "", *header, "least", "median", "ratio of the least"), rows))


def report_weights(device: torch.device) -> None:
    """Print what it costs to copy 100 million weights and to compare them afterwards."""
    module = nn.Linear(10_000, WEIGHTS // 10_000, bias=False, device=device)

    def guarded() -> None:
        with quiet.unchanged_parameters(module):
            pass

    timing = interleaved({"": guarded}, REPEATS, device)[""]
    print(
        f"\n{device.type}: copy and comparison of {WEIGHTS / 1e6:.0f} million weights, "
        f"{module.weight.nbytes / 1e9:.1f} GB: {readable(timing.median)} ({timing.spread()})"
    )


def timed(calls: dict[str, Measurement], device: torch.device) -> dict[str, Timing]:
    """Time the calls in turn: on a CPU the processor time, which other programs hardly change."""
    if device.type != "cpu":
        return interleaved(calls, REPEATS, device)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            started = time.process_time()
            call()
            seconds[name].append(time.process_time() - started)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


@dataclass(frozen=True)
class Measurement:
    """One way to measure some inputs, to be called."""

    way: Callable[[nn.Module, Tensor, int], Tensor]
    model: nn.Module
    x: Tensor
    chunk_size: int

    def __call__(self) -> Tensor:
        return self.way(self.model, self.x, self.chunk_size)


def require_agreement(calls: dict[str, Measurement]) -> None:
    """Raise SystemExit unless both ways return the same traces to the last bit."""
    once, per_chunk = (call() for call in calls.values())
    if not torch.equal(once, per_chunk):
        raise SystemExit("Both ways are expected to return the same traces; they differ.")
