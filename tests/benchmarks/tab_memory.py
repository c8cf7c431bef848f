"""Memory and size of the page in a browser, with hostile log directories."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from playwright.sync_api import Page
from tensorboard_plugin_leaf import Snapshot, encode, tag_of

from tests.benchmarks.logs_hostile import HOSTILE, Events, write_events
from tests.benchmarks.logs_written import size
from tests.benchmarks.machine import describe
from tests.browser.conftest import chromium
from tests.support.browser.chromium import started
from tests.support.browser.leaf_tab import LeafTab
from tests.support.browser.sizes import CLASSES, FRAMES, path_of_classes, path_of_frames
from tests.support.plugin import synthetic
from tests.support.tensorboard_process import ask, tensorboard

MEGABYTES: Final = 100
ROWS: Final = 12
"""Number of rows that are scrolled into view, and of paths that are opened."""
SECONDS_TO_LOAD: Final = 60
COUNT_ELEMENTS: Final = "() => document.getElementsByTagName('*').length"
WATCH_TASKS: Final = """
() => {
  window.leafLongest = 0;
  const watch = (list) => {
    // Other tasks are those of the page of TensorBoard around the tab.
    const own = list.getEntries().filter(({name}) => name === "self");
    for (const {duration} of own) leafLongest = Math.max(leafLongest, duration);
  };
  new PerformanceObserver(watch).observe({type: "longtask", buffered: true});
}
"""


def run() -> None:
    """Write every log directory, open it in a browser, and print a line for it."""
    print(describe())
    print("\nMB of all processes of Chromium, first with an empty page")
    print("elements and longest task of the tab")
    print(f"{'log directory':<36}{'MB':>6}{'idle':>8}{'peak':>8}{'elements':>10}{'task':>10}")
    for name, events in (HOSTILE | LARGE).items():
        with tempfile.TemporaryDirectory() as folder:
            write_events(Path(folder), events(), MEGABYTES)
            print(f"{name:<36}{size(Path(folder)):>6.0f}{opened(Path(folder))}", flush=True)


def opened(logdir: Path) -> str:
    """Open a log directory, look at rows and paths, and return what that takes."""
    path = chromium()
    assert path is not None, "no Chromium"
    with tensorboard(logdir, "--load_fast=false") as url, started(path) as browser:
        await_loaded(url)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        idle = peak = memory()
        tab = LeafTab(page, url).open(rows="pairs")
        tab.frame.locator("html").evaluate(WATCH_TASKS)
        for _ in looked_at(tab, page):
            peak = max(peak, memory())
        html = tab.frame.locator("html")
        elements, longest = html.evaluate(COUNT_ELEMENTS), html.evaluate("() => leafLongest")
    return f"{idle:>8.0f}{peak:>8.0f}{elements:>10}{longest:>7.0f} ms"


def looked_at(tab: LeafTab, page: Page) -> Iterator[None]:
    """Scroll through the rows and open their paths, with many pauses."""
    rows = tab.frame.locator("leaf-row")
    yield from pauses(page, 3)
    for position in range(min(rows.count(), ROWS)):
        rows.nth(position).scroll_into_view_if_needed()
        yield from pauses(page, 1)
    pairs = tab.frame.locator(".pairs button, .snapshots button, .runs button")
    for position in range(min(pairs.count(), ROWS)):
        pairs.nth(position).evaluate("(button) => button.click()")
        yield from pauses(page, 1)


def pauses(page: Page, seconds: float) -> Iterator[None]:
    for _ in range(round(10 * seconds)):
        page.wait_for_timeout(100)
        yield


def await_loaded(url: str) -> None:
    """Wait until the list of runs does not grow any more."""
    deadline = time.monotonic() + SECONDS_TO_LOAD
    before = -1
    while time.monotonic() < deadline:
        runs = ask(url, "snapshots")["runs"]
        listed = sum(len(run["snapshots"]) + len(run["damaged"]) + run["omitted"] for run in runs)
        if listed == before and listed > 0:
            return
        before = listed
        time.sleep(3)


def memory() -> float:
    """Return the proportional set size of all processes of Chromium, in MB."""
    return sum(map(proportional_size, filter(is_chromium, descendants(os.getpid()))))


def descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            numbers = children.read_text().split()
        except OSError:  # The process has ended.
            continue
        for child in map(int, numbers):
            yield child
            yield from descendants(child)


def is_chromium(process: int) -> bool:
    try:
        return b"chrom" in Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return False


def proportional_size(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def large_images() -> Events:
    """20 paths of 4 black images of 4000 x 4000 pixels."""
    black = np.zeros((3, 4000, 4000), np.uint8)
    path = dataclasses.replace(synthetic.path(frames=3), frames=black, destination_frame=black[0])
    base = synthetic.snapshot(100)
    blob = encode(dataclasses.replace(base, paths=(path,)))[1][0]
    small = synthetic.path(frames=3)
    paths = tuple(dataclasses.replace(small, source_index=i) for i in range(20))
    named = dataclasses.replace(base, paths=paths)
    yield "run", (tag_of(named), encode(named)[0], [blob] * len(paths))


def many_frames() -> Events:
    yield from of_path(dataclasses.replace(synthetic.snapshot(), paths=(path_of_frames(FRAMES),)))


def many_classes() -> Events:
    yield from of_path(dataclasses.replace(synthetic.snapshot(), paths=(path_of_classes(CLASSES),)))


def of_path(snapshot: Snapshot) -> Events:
    yield "run", (tag_of(snapshot), *encode(snapshot))


LARGE: dict[str, Callable[[], Events]] = {
    "20 paths of 4000 x 4000 images": large_images,
    f"{FRAMES} frames": many_frames,
    f"{CLASSES} classes": many_classes,
}
"""Log directories that are small, and large in a browser."""
