"""The LEAF tab with 100 runs and 2 000 snapshots, compared with TensorBoard's Images tab."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.logs_routes import (
    Figures,
    image_routes,
    path_routes,
    snapshot_routes,
)
from tests.benchmarks.logs_seen import (
    images_tab,
    leaf_tab,
    one_path,
    opened_browser,
    path_over_training,
)
from tests.benchmarks.logs_written import (
    LOGGED_STEPS,
    PATHS,
    RUNS,
    SNAPSHOTS,
    size,
    write_logs,
    write_steps,
)
from tests.benchmarks.long_path import CLASSES, STEPS, publish_long_path
from tests.benchmarks.machine import describe
from tests.support.tensorboard_process import await_snapshots, tensorboard

LOADERS = {"python": "--load_fast=false", "rust": "--load_fast=true"}
TARGETS = {
    "click until strip painted": "< 1000 ms",
    "scrolling, frame, 95th percentile": "< 33 ms",
    "moving, frame, 95th percentile": "< 33 ms",
    "rows drawn at once, maximum": "< 20",
}


def run() -> None:
    """Write log directories and print the measurements for each loader of TensorBoard."""
    print(describe())
    with tempfile.TemporaryDirectory() as folder, opened_browser() as browser:
        names = ("leaf", "images", "training", "long")
        leaf, images, training, long = (Path(folder, name) for name in names)
        started = time.monotonic()
        write_logs(leaf, images)
        write_steps(training)
        print(f"{RUNS} runs, {SNAPSHOTS} snapshots of {PATHS} paths, made in ", end="")
        print(f"{time.monotonic() - started:.0f} s")
        print(f"on disk: snapshots {size(leaf):.1f} MB, images {size(images):.1f} MB")
        started = time.monotonic()
        publish_long_path(long)
        print(f"a path of {STEPS} steps through {CLASSES} classes: snapshot of ", end="")
        print(f"{size(long):.3f} MB, made in {time.monotonic() - started:.1f} s")

        def of_leaf(url: str, started: float) -> Figures:
            return snapshot_routes(url, started) | leaf_tab(browser, url)

        def of_images(url: str, started: float) -> Figures:
            return image_routes(url, started) | images_tab(browser, url)

        def of_training(url: str, _: float) -> Figures:
            await_snapshots(url, LOGGED_STEPS)
            return path_over_training(browser, url)

        def of_long(url: str, _: float) -> Figures:
            await_snapshots(url, 1)
            return path_routes(url) | one_path(browser, url)

        print_table("The LEAF tab", leaf, of_leaf)
        print_table("TensorBoard's Images tab", images, of_images)
        print_table(f"The LEAF tab, a path at {LOGGED_STEPS} steps", training, of_training)
        print_table(f"The LEAF tab, {STEPS} steps × {CLASSES} classes", long, of_long)


def print_table(title: str, logdir: Path, measure: Callable[[str, float], Figures]) -> None:
    """Print a line for each measurement, a column for each loader, and the targets."""
    outcomes: dict[str, Figures] = {}
    for name, argument in LOADERS.items():
        started = time.monotonic()
        with tensorboard(logdir, argument) as url:
            outcomes[name] = measure(url, started)
    print(f"\n{title:<48}{''.join(f'{name:<26}' for name in LOADERS)}target")
    for figure in outcomes["python"]:
        cells = "".join(f"{of_loader[figure]:<26}" for of_loader in outcomes.values())
        print(f"  {figure:<46}{cells}{TARGETS.get(figure, '')}".rstrip(), flush=True)
