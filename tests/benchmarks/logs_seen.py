"""Loading times and frame times of the tabs in a browser, on many runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tests.benchmarks.logs_routes import Figures
from tests.benchmarks.logs_written import LOGGED_STEPS
from tests.browser.conftest import chromium
from tests.support.browser.leaf_tab import LeafTab

OPENED = 11
TABS = 3
WHEEL_PIXELS = 120
SECONDS_PER_WHEEL = 0.03
SLOW_FRAME_MS = 33

# A frame is painted when the next one begins.
OPEN_RUN = """
async (page, run) => {
  const frame = () => new Promise(requestAnimationFrame);
  const strip = () => document.querySelector("leaf-strip");
  const isPainted = (canvas) => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 1;
  };
  const before = strip()?.loaded;
  const started = performance.now();
  document.querySelector(`[data-testid="run-${run}"] button`).click();
  for (;;) {
    await frame();
    const canvases = [...(strip()?.querySelectorAll("canvas") ?? [])];
    const isOther = strip()?.loaded && strip().loaded !== before;
    if (performance.now() - started > 60_000) throw new Error(`run ${run} was not shown`);
    if (isOther && canvases.length && canvases.every(isPainted)) break;
  }
  await frame();
  return performance.now() - started;
}
"""
OPEN_IMAGES = """
async (isolator) => {
  let row = isolator;
  while (!row.querySelector("[id^=checkbox-]")) row = row.parentElement;
  const run = row.querySelector("[id^=checkbox-]").id.slice("checkbox-".length);
  const frame = () => new Promise(requestAnimationFrame);
  const dashboard = document.querySelector("tf-image-dashboard").shadowRoot;
  const isPainted = (loader) =>
    loader.run === run &&
    [...loader.shadowRoot.querySelectorAll("img")].some((i) => i.complete && i.naturalWidth);
  const started = performance.now();
  isolator.click();
  while (![...dashboard.querySelectorAll("tf-image-loader")].some(isPainted)) {
    if (performance.now() - started > 60_000) throw new Error(`run ${run} was not shown`);
    await frame();
  }
  await frame();
  return performance.now() - started;
}
"""
SINCE_OPENING = "() => performance.timeOrigin + performance.now() - parent.performance.timeOrigin"
WATCH_FRAMES = """
() => {
  window.leafFrames = {times: [], rows: 0, canvases: 0};
  let last = performance.now();
  const watch = (now) => {
    if (!window.leafFrames) return;
    leafFrames.times.push(now - last);
    last = now;
    const canvases = document.querySelectorAll("leaf-row canvas").length;
    const rows = document.querySelectorAll("leaf-row:has(canvas)").length;
    leafFrames.canvases = Math.max(leafFrames.canvases, canvases);
    leafFrames.rows = Math.max(leafFrames.rows, rows);
    requestAnimationFrame(watch);
  };
  requestAnimationFrame(watch);
}
"""
STOP_WATCHING = "() => { const seen = window.leafFrames; window.leafFrames = null; return seen; }"
PATHS_LEFT = "() => document.documentElement.scrollHeight - innerHeight - scrollY"


@contextmanager
def opened_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 1280, "height": 1000})


def leaf_tab(browser: Browser, url: str) -> Figures:
    """Measure the time to the first strip, and from a click on a new run to its strip."""
    opening = []
    for _ in range(TABS):
        page = new_page(browser)  # a new page has an empty cache
        tab = LeafTab(page, url).open()
        tab.get("strip").locator("canvas").first.wait_for(timeout=120_000)
        opening.append(tab.get("strip").evaluate(SINCE_OPENING))
        page.close()
    page = new_page(browser)
    tab = LeafTab(page, url).open().await_path()
    # The first run is already open.
    names = [f"version_{number}" for number in range(1, 1 + OPENED)]
    clicks = [tab.get("path").evaluate(OPEN_RUN, name) for name in names]
    page.close()
    return {
        "tab opened until strip painted": milliseconds(opening),
        "click until strip painted": milliseconds(clicks),
        "click until strip painted, slowest": f"{max(clicks):.0f} ms",
    }


def images_tab(browser: Browser, url: str) -> Figures:
    """Measure the same for the Images tab, until the first image of a run is painted."""
    opening = []
    for _ in range(TABS):
        page = new_page(browser)
        page.goto(f"{url}#images")
        page.locator(".isolator").first.wait_for(timeout=120_000)
        opening.append(page.evaluate("performance.now()"))
        page.close()
    page = new_page(browser)
    page.goto(f"{url}#images")
    isolators = page.locator(".isolator")
    isolators.first.wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    clicks = [isolators.nth(i).evaluate(OPEN_IMAGES) for i in range(OPENED)]
    page.close()
    return {
        "tab opened until runs listed": milliseconds(opening),
        "click until image painted": milliseconds(clicks),
        "click until image painted, slowest": f"{max(clicks):.0f} ms",
    }


def path_over_training(browser: Browser, url: str) -> Figures:
    """Measure frame times while scrolling through rows of one path and moving along it."""
    page = new_page(browser)
    tab = LeafTab(page, url).open().await_path()
    rows = tab.get("row")
    rows.nth(LOGGED_STEPS - 1).wait_for(state="attached")
    page.mouse.move(700, 500)
    tab.get("path").evaluate(WATCH_FRAMES)
    while tab.get("path").evaluate(PATHS_LEFT) > 1:
        page.mouse.wheel(0, WHEEL_PIXELS)
        time.sleep(SECONDS_PER_WHEEL)
    seen = tab.get("path").evaluate(STOP_WATCHING)
    rows.last.locator("canvas").first.wait_for()
    scrolling = frame_figures("scrolling", seen["times"])

    moving = moving_along(page, tab)
    page.close()
    drawn = f"{seen['rows']} of {LOGGED_STEPS}, {seen['canvases']} canvases"
    return scrolling | {"rows drawn at once, maximum": drawn} | moving


def one_path(browser: Browser, url: str) -> Figures:
    """Measure frame times while moving along a single path."""
    page = new_page(browser)
    tab = LeafTab(page, url).open()
    tab.get("strip").locator("canvas").first.wait_for()
    moving = moving_along(page, tab)
    page.close()
    return moving


def moving_along(page: Page, tab: LeafTab) -> Figures:
    tab.get("path").evaluate(WATCH_FRAMES)
    tab.get("scrubber").focus()
    for key in ["Home", *["ArrowRight"] * 12, *["ArrowLeft"] * 12] * 2:
        page.keyboard.press(key)
        time.sleep(SECONDS_PER_WHEEL)
    return frame_figures("moving", tab.get("path").evaluate(STOP_WATCHING)["times"])


def frame_figures(doing: str, times: Sequence[float]) -> Figures:
    percentile = statistics.quantiles(times, n=20)[-1]
    slow = sum(each > SLOW_FRAME_MS for each in times) / len(times)
    return {
        f"{doing}, frame": f"{statistics.median(times):.1f} ms of {len(times)}",
        f"{doing}, frame, 95th percentile": f"{percentile:.1f} ms",
        f"{doing}, frame, longest": f"{max(times):.0f} ms",
        f"{doing}, frames over {SLOW_FRAME_MS} ms": f"{slow:.1%}",
    }


def milliseconds(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.0f} ms of {len(times)}"
