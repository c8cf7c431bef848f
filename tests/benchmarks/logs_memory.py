"""Memory and time of TensorBoard with hostile log directories, without and with our routes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from tests.benchmarks.logs_hostile import END, HOSTILE, write_events
from tests.benchmarks.logs_routes import Figures, fetch, fetch_json, servers
from tests.benchmarks.logs_scale import LOADERS
from tests.benchmarks.logs_written import size
from tests.benchmarks.machine import describe
from tests.support.tensorboard_process import tensorboard

MEGABYTES = 100
OPENED = 50
"""Number of paths that are opened, each with its frames."""
CLIENTS = 4
SECONDS_BETWEEN_REQUESTS = 1


def run() -> None:
    """Write every log directory, and print a table of it for each loader of TensorBoard."""
    print(describe())
    for name, events in HOSTILE.items():
        with tempfile.TemporaryDirectory() as folder:
            logdir = Path(folder)
            runs, snapshots = write_events(logdir, events(), MEGABYTES)
            report(name, logdir, runs, snapshots)


def report(name: str, logdir: Path, runs: int, snapshots: int) -> None:
    """Print the measurements of one log directory."""
    outcomes: dict[str, Figures] = {}
    for loader, argument in LOADERS.items():
        with tensorboard(logdir, argument) as url:
            outcomes[loader] = measured(url, runs)
    title = f"{name}: {runs} runs, {snapshots} snapshots, {size(logdir):.0f} MB"
    print(f"\n{title:<64}{''.join(f'{loader:<24}' for loader in LOADERS)}".rstrip())
    for figure in outcomes["python"]:
        cells = "".join(f"{of_loader[figure]:<24}" for of_loader in outcomes.values())
        print(f"  {figure:<62}{cells}".rstrip(), flush=True)


def measured(url: str, runs: int) -> Figures:
    """Return memory and times of TensorBoard at ``url``."""
    scalars = f"{url}data/plugin/scalars/tags"
    while sum(END in tags for tags in fetch_json(scalars).values()) < runs:
        time.sleep(SECONDS_BETWEEN_REQUESTS)
    route = f"{url}data/plugin/leaf/"
    figures = {"resident, TensorBoard alone": memory()}
    # From here on, the peak is that of the requests and not that of loading.
    for server in servers():
        Path(f"/proc/{server.number}/clear_refs").write_text("5")
    figures["list of plugins"] = timed(lambda: fetch(f"{url}data/plugins_listing"))
    figures["list of snapshots, first time"] = timed(lambda: fetch(route + "snapshots"))
    figures["list of snapshots"] = timed(lambda: fetch(route + "snapshots"))
    figures["list of snapshots, size"] = f"{fetch(route + 'snapshots')[1] / 1e6:.1f} MB"
    figures["resident, after three lists"] = memory()
    keys = paths(fetch_json(route + "snapshots"))
    with ThreadPoolExecutor(CLIENTS) as pool:
        times = list(pool.map(lambda key: opened(route, key), keys))
    figures["one path and its frames, slowest"] = f"{1000 * max(times, default=0):.0f} ms"
    figures[f"resident, after {OPENED} paths"] = memory()
    return figures


def memory() -> str:
    """Return the memory of TensorBoard, and of its data server with the Rust loader."""
    return " + ".join(f"{each.resident:.0f} (peak {each.peak:.0f}) MB" for each in servers())


def paths(listed: Any) -> list[str]:
    """Return the queries of the first path of the first snapshots, also of damaged ones."""
    tags = [
        urlencode({"run": run["run"], "tag": item["tag"]})
        for run in listed["runs"]
        for item in run["snapshots"] + run["damaged"]
    ]
    return tags[:OPENED]


def opened(route: str, query: str) -> float:
    """Request a path and its frames as the page does, and return the seconds that it takes."""
    started = time.perf_counter()
    try:
        digest = fetch_json(f"{route}path?{query}")["digest"]
        fetch(f"{route}frames?{query}&digest={digest}")
    except HTTPError as error:
        if error.code != 404:
            raise
    return time.perf_counter() - started


def timed(request: Callable[[], Any]) -> str:
    """Return the time of a request."""
    started = time.perf_counter()
    request()
    return f"{1000 * (time.perf_counter() - started):.0f} ms"
