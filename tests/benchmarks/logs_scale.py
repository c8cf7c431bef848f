"""The LEAF tab over 100 runs and 2 000 snapshots, beside TensorBoard's images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.logs_routes import Figures, await_count, image_routes, snapshot_routes
from tests.benchmarks.logs_seen import images_tab, leaf_tab, opened_browser, path_over_training
from tests.benchmarks.logs_written import (
    MOMENTS,
    PATHS,
    RUNS,
    SNAPSHOTS,
    size,
    write_logs,
    write_moments,
)
from tests.benchmarks.machine import describe
from tests.tensorboard_process import ask, tensorboard

LOADERS = {"python": "--load_fast=false", "rust": "--load_fast=true"}
TARGETS = {
    "click until strip painted": "< 1000 ms",
    "scrolling, frame, 95th percentile": "< 33 ms",
    "moving, frame, 95th percentile": "< 33 ms",
    "rows drawn at once, most": "< 20",
}


def run() -> None:
    """Make the log directories, and print what each loader of TensorBoard makes of them."""
    print(describe())
    with tempfile.TemporaryDirectory() as folder, opened_browser() as browser:
        leaf, images, training = (Path(folder, name) for name in ("leaf", "images", "training"))
        started = time.monotonic()
        write_logs(leaf, images)
        write_moments(training)
        print(f"{RUNS} runs, {SNAPSHOTS} snapshots of {PATHS} paths, made in ", end="")
        print(f"{time.monotonic() - started:.0f} s")
        print(f"on disk: snapshots {size(leaf):.1f} MB, images {size(images):.1f} MB")
        tables: dict[str, dict[str, Figures]] = {
            "The LEAF tab": {},
            "TensorBoard's Images tab": {},
            f"The LEAF tab, one path at {MOMENTS} moments of a training": {},
        }
        of_leaf, of_images, of_training = tables.values()
        for name, argument in LOADERS.items():
            started = time.monotonic()
            with tensorboard(leaf, argument) as url:
                of_leaf[name] = snapshot_routes(url, started) | leaf_tab(browser, url)
            started = time.monotonic()
            with tensorboard(images, argument) as url:
                of_images[name] = image_routes(url, started) | images_tab(browser, url)
            started = time.monotonic()
            with tensorboard(training, argument) as url:
                of_training[name] = await_count(lambda: moments(url), started, MOMENTS)
                of_training[name] |= path_over_training(browser, url)
    for title, figures in tables.items():
        print_table(title, figures)


def moments(url: str) -> int:
    return sum(len(run["snapshots"]) for run in ask(url, "snapshots")["runs"])


def print_table(title: str, figures: Mapping[str, Figures]) -> None:
    """A line for each figure, a column for each loader, targets beside."""
    print(f"\n{title:<52}{''.join(f'{name:<26}' for name in figures)}target")
    for name in next(iter(figures.values())):
        outcomes = "".join(f"{of_loader[name]:<26}" for of_loader in figures.values())
        print(f"  {name:<50}{outcomes}{TARGETS.get(name, '')}".rstrip())
