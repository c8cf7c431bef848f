"""Latency, size and memory of TensorBoard's routes on many runs."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.benchmarks.logs_written import SNAPSHOTS

REPEATS = 20
# Requests slow down the Python loader, which runs in the same interpreter.
SECONDS_BETWEEN_REQUESTS = 1

Figures = dict[str, str]
"""Formatted results by the name of the measurement."""


def snapshot_routes(url: str, started: float) -> Figures:
    route = f"{url}data/plugin/leaf/"

    def listed() -> int:
        return sum(len(run["snapshots"]) for run in fetch_json(route + "snapshots")["runs"])

    figures = await_count(listed, started)
    figures |= timed("list of snapshots", route + "snapshots")
    return figures | path_routes(url) | memory()


def path_routes(url: str) -> Figures:
    route = f"{url}data/plugin/leaf/"
    runs = fetch_json(route + "snapshots")["runs"]
    snapshot = runs[0]["snapshots"][0]
    key = urlencode({"run": runs[0]["run"], "tag": snapshot["tag"]})
    figures = timed("curves of a path", f"{route}path?{key}")
    return figures | timed("frames of a path", f"{route}frames?{key}")


def image_routes(url: str, started: float) -> Figures:
    route = f"{url}data/plugin/images/"

    def listed() -> int:
        return sum(map(len, fetch_json(route + "tags").values()))

    figures = await_count(listed, started)
    run, tags = next(iter(fetch_json(route + "tags").items()))
    key = urlencode({"run": run, "tag": min(tags), "sample": 0})
    figures |= timed("list of images", route + "tags")
    (image,) = fetch_json(f"{route}images?{key}")
    return figures | timed("one image", f"{route}individualImage?{image['query']}") | memory()


def await_count(listed: Callable[[], int], started: float) -> Figures:
    while listed() < SNAPSHOTS:
        time.sleep(SECONDS_BETWEEN_REQUESTS)
    return {"everything listed after": f"{time.monotonic() - started:.1f} s"}


def timed(name: str, url: str) -> Figures:
    milliseconds = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        wire, content = fetch(url)
        milliseconds.append(1000 * (time.perf_counter() - started))
    return {
        name: f"{statistics.median(milliseconds[1:]):.0f} ms",
        f"{name}, first time": f"{milliseconds[0]:.0f} ms",
        f"{name}, sent": f"{wire / 1000:.1f} kB of {content / 1000:.1f}",
    }


def memory() -> Figures:
    """Return the memory of TensorBoard and, with the Rust loader, of its data server."""
    sizes = [f"{server.name} {server.resident:.0f}" for server in servers()]
    return {"resident memory, MB": ", ".join(sizes)}


class Process(NamedTuple):
    """A child process: its number, its name, and its resident megabytes, now and at most."""

    number: int
    name: str
    resident: float
    peak: float


def servers() -> list[Process]:
    """Return TensorBoard and, with the Rust loader, its data server."""
    return [process for process in processes() if process.name in ("main.py", "server")]


def processes() -> Iterator[Process]:
    """Yield every child process."""
    waiting = [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            waiting += map(int, file.read_text().split())
        if parent != os.getpid():
            lines = Path(f"/proc/{parent}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            sizes = [int(status.get(key, "0 kB").split()[0]) / 1000 for key in ("VmRSS", "VmHWM")]
            yield Process(parent, status["Name"].strip(), *sizes)


def fetch(url: str) -> tuple[int, int]:
    """Return the size of the response and of its decompressed content, in bytes."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=120) as response:
        wire = response.read()
        packed = response.headers["Content-Encoding"] == "gzip"
    return len(wire), len(gzip.decompress(wire)) if packed else len(wire)


def fetch_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=120) as response:
        return json.load(response)
