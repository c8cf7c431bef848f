"""Precision, time, kernel launches and synchronizations of paths and measurements on a GPU.

``python -m tests.gpu.probe cuda|cpu``. Each line is printed as soon as it is known, and a part that
fails does not stop the others. The exit status tells whether one failed.
"""

from __future__ import annotations

import copy
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from lightning_leaf import LocalDataMatrix, horizontal_path, local_geometry, orthogonal_walk
from lightning_leaf.paths import path_step
from tests.benchmarks.machine import describe
from tests.benchmarks.models import PAPER_CNN, digits
from tests.benchmarks.timing import interleaved, once, readable
from tests.gpu.tf32 import tf32_by_the_old_interface
from tests.support import oracle
from tests.support.agreement import relative

PAIRS = {"cuda": (32, 256), "cpu": (4,)}
TIMED = (79, 143)
"""Steps of two compared walks: whole blocks, each of which waits for the device once. Both walks
capture a step, if it can be captured."""
REPEATS = 2
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")
GRAPHS = ("cudaGraphLaunch",)
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")

Walk = Callable[[int], Any]


def main(device: torch.device) -> int:
    """Print everything; return the number of parts that failed."""
    print(describe())
    return sum(failed(title, part) for title, part in parts(device))


def failed(title: str, part: Callable[[], Any]) -> bool:
    """Print what a part finds, or its error."""
    try:
        print(f"{title}: {part()}", flush=True)
    except Exception:
        print(f"{title}: FAILED\n{traceback.format_exc(limit=-4)}", flush=True)
        return True
    return False


def parts(device: torch.device) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the title of each part, and the function that returns what it found."""
    model = PAPER_CNN.model(device)
    yield "projection error, flags of the user: default, TF32", lambda: projection_errors(model)
    for count in PAIRS[device.type]:
        images = digits(2 * count)[0].to(device)
        start, end = images.split(count)
        for name, walk in walks(model, start, end).items():
            title = f"{count} paths, {name}"
            if device.type == "cpu":
                yield f"{title}, a step", lambda walk=walk: step_time(walk, device, 1, 3)
                continue
            is_first = count == PAIRS["cuda"][0]
            if name == "by products" and not is_first:
                continue
            for steps, lengths in ((eager, (15, 31)), (captured, (79, 95))):
                yield (
                    f"{title}, {steps.__name__}, a step",
                    lambda walk=walk, steps=steps: steps(step_time, walk, device, *TIMED),
                )
                if is_first:
                    yield (
                        f"{title}, {steps.__name__}, calls of a step",
                        lambda walk=walk, steps=steps, lengths=lengths: steps(
                            calls_per_step, walk, *lengths
                        ),
                    )
        yield f"{count} inputs, a measurement", lambda x=start: measurement(model, x, device)
    if device.type == "cuda":
        few = walks(model, *digits(16)[0].to(device).split(8))
        for name, walk in few.items():
            yield f"lines that wait, {name}", lambda walk=walk: waiting_lines(lambda: walk(31))
        x = digits(8)[0].to(device)
        yield (
            "lines that wait, measurement",
            lambda: waiting_lines(lambda: local_geometry(model, x)),
        )
    for solver, call in solvers(device).items():
        yield f"32 systems of 10×10 float64, {solver}", lambda call=call: median(call, device)


def walks(model: nn.Module, start: Tensor, end: Tensor) -> dict[str, Walk]:
    """Return functions that walk a number of steps which no path ends before."""
    options: dict[str, Any] = {"chunk_size": len(start), "progress": False}
    # Most pixels of the digits are at the lower bound.
    domain = float(start.min()), float(start.max())
    short: dict[str, Any] = {"step_size": 1e-4, "threshold": 1e-6}
    return {
        "horizontal": lambda steps: horizontal_path(
            model, start, end, max_steps=steps, **short, **options
        ),
        "orthogonal": lambda steps: orthogonal_walk(model, start, max_steps=steps, **options),
        "orthogonal in a domain": lambda steps: orthogonal_walk(
            model, start, max_steps=steps, domain=domain, **options
        ),
        "by products": lambda steps: horizontal_path(
            model, start, end, max_steps=steps, rtol=1e-3, **short, **options
        ),
    }


def projection_errors(model: nn.Module) -> list[str]:
    """Return the relative error of projections as the user may have set TF32; it has no effect."""
    x = digits(8)[0]
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    true = oracle.project(copy.deepcopy(model).cpu().double(), x, v)
    device = next(model.parameters()).device
    found = [relative(LocalDataMatrix.at(model, x).project(v.to(device)).cpu(), true)]
    with tf32_by_the_old_interface():
        found.append(relative(LocalDataMatrix.at(model, x).project(v.to(device)).cpu(), true))
    if max(found) > 1e-4:
        raise AssertionError(f"expected errors below 1e-4; got {found}")
    return [f"{error:.1e}" for error in found]


def eager(found: Callable[..., str], *arguments: Any) -> str:
    """Return what is found of steps that are not captured as a CUDA graph."""
    with mock.patch.object(path_step, "captured", return_value=None):
        return found(*arguments)


def captured(found: Callable[..., str], *arguments: Any) -> str:
    """Return what is found of steps after one was captured."""
    graphs = []
    real = path_step.captured
    with mock.patch.object(path_step, "captured", lambda *a: graphs.append(real(*a)) or graphs[-1]):
        result = found(*arguments)
    return result if graphs and None not in graphs else f"NOT captured, {result}"


def step_time(walk: Walk, device: torch.device, short: int, long: int) -> str:
    """Return the time of a step of all paths together, from the difference of two lengths."""
    walk(short)
    times = []
    for _ in range(REPEATS):
        first, second = (once(lambda n=n: walk(n), device) for n in (short, long))
        times.append((second - first) / (long - short))
    return ", ".join(map(readable, sorted(times)))


def calls_per_step(walk: Walk, short: int, long: int) -> str:
    """Return the profiled calls of CUDA for each step."""
    counted = []
    for steps in (short, long):
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            walk(steps)
            torch.cuda.synchronize()
        events = {event.key: event.count for event in profiler.key_averages()}
        kinds = (LAUNCHES, GRAPHS, ("cudaMemcpyAsync",), WAITS)
        counted.append([sum(events.get(name, 0) for name in names) for names in kinds])
    numbers = [(after - before) / (long - short) for before, after in zip(*counted, strict=True)]
    names = ("launches", "graphs", "copies", "waits")
    return ", ".join(f"{number:.2f} {name}" for number, name in zip(numbers, names, strict=True))


def waiting_lines(call: Callable[[], Any]) -> str:
    """Return the lines at which the host waits for the device, with their numbers."""
    call()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = Counter(
        "/".join(w.filename.split("/")[-2:]) + f":{w.lineno}"
        for w in caught
        if "synchroniz" in str(w.message)
    )
    return f"{sum(found.values())}; " + ", ".join(f"{n} {line}" for line, n in found.most_common())


def measurement(model: nn.Module, x: Tensor, device: torch.device) -> str:
    """Return the time of a measurement, in forward and backward passes of a training."""

    def step() -> None:
        model(x).logsumexp(1).sum().backward()
        model.zero_grad()

    repeats = 7 if device.type == "cuda" else 1
    timings = interleaved({"ours": lambda: local_geometry(model, x), "step": step}, repeats, device)
    ours, training = timings["ours"].median, timings["step"].median
    return f"{readable(ours)}, as long as {ours / training:.1f} training steps"


def solvers(device: torch.device) -> dict[str, Callable[[], Any]]:
    """Return ways to solve one system for each of 32 inputs."""
    a = torch.randn(32, 10, 64, dtype=torch.float64, device=device)
    k, b = a @ a.mT, torch.randn(32, 10, 1, dtype=torch.float64, device=device)
    return {
        "eigh": lambda: torch.linalg.eigh(k),
        "eigh on the host": lambda: [each.to(device) for each in torch.linalg.eigh(k.cpu())],
        "cholesky_ex and solve": lambda: torch.cholesky_solve(b, torch.linalg.cholesky_ex(k)[0]),
    }


def median(call: Callable[[], Any], device: torch.device) -> str:
    return readable(interleaved({"": call}, 5, device)[""].median)


if __name__ == "__main__":
    started = time.perf_counter()
    failures = main(torch.device(sys.argv[1]))
    print(f"{failures} parts failed; {time.perf_counter() - started:.0f} s")
    sys.exit(failures > 0)
