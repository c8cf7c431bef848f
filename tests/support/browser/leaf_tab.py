"""A page object of the LEAF tab, and checks that its content is drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from playwright.sync_api import FrameLocator, Locator, Page

from tests.support.tensorboard_process import ask

# Waits end as soon as their condition holds. On a busy machine this may take long.
TIMEOUT_SECONDS = 120
TRAINING_CHARTS = ("trace-chart", "rank-chart", "dimension-chart")

# The curve of a class below this probability may be hidden behind others.
CLEAR_PROBABILITY = 0.1
# Without a curve, edges of letters and of other curves have fewer pixels in its colour.
CURVE_PIXELS = 25

COUNT_PIXELS = """
(chart, css) => {
  const canvas = chart.querySelector("canvas");
  if (!canvas) return 0;
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = css;
  probe.fillRect(0, 0, 1, 1);
  const expected = probe.getImageData(0, 0, 1, 1).data;
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const difference = [0, 1, 2].map((c) => Math.abs(data[i + c] - expected[c]));
    if (data[i + 3] > 200 && Math.max(...difference) < 16) count += 1;
  }
  return count;
}
"""
COUNT_COLOURED_PIXELS = """
(chart) => {
  const canvas = chart.querySelector("canvas");
  if (!canvas) return 0;
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  // Curves are coloured; axes and their labels are grey.
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const colours = [data[i], data[i + 1], data[i + 2]];
    if (data[i + 3] > 100 && Math.max(...colours) - Math.min(...colours) > 60) count += 1;
  }
  return count;
}
"""
IS_PAINTED = """
(frame) => {
  if (frame.querySelector("svg path[d^=M]")) return true;
  const canvas = frame.querySelector("canvas");
  if (!canvas) return false;
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size > 1;
}
"""


AWAIT_ANIMATION_FRAMES = """
() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
"""

Value = TypeVar("Value")


class LeafTab:
    """The LEAF tab of the TensorBoard at `url`, in the browser page `page`.

    Attributes:
        errors: The errors in the console of the browser.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        page.set_default_timeout(1000 * TIMEOUT_SECONDS)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, **view: str) -> LeafTab:
        """Open the tab with the fields of `view` in its URL."""
        fragment = "".join(f"&p.leaf.{part}" for part in urlencode(view).split("&") if part)
        self.page.goto(f"{self.url}#leaf{fragment}")
        return self

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe[src*=plugin_entry]")

    def get(self, name: str) -> Locator:
        """Return the elements whose `data-testid` is `name`."""
        return self.frame.get_by_test_id(name)

    def await_path(self) -> LeafTab:
        """Wait until the open path and all training curves are loaded."""
        self.frame.locator("[data-testid=path][aria-busy=false]").wait_for()
        self.get("frame").first.wait_for()
        self.frame.locator(".training[aria-busy=false]").wait_for()
        return self

    def await_error(self, text: str) -> None:
        """Wait until the browser has reported an error that contains `text`."""
        self.await_value(lambda: any(text in error for error in self.errors), True)

    def await_value(self, read: Callable[[], Value], expected: Value) -> None:
        """Wait until `read` returns `expected`."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while read() != expected and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        assert read() == expected

    def await_current_frame(self, step: int) -> None:
        """Wait until the frame at `step` is the current frame, and the only one."""
        self.await_value(self.current_frames, [step])

    def await_cursor(self, step: Any) -> None:
        """Wait until the cursors of both charts of the path are at `step`."""
        self.await_value(self.cursor_steps, [step] * 2)

    def await_animation_frames(self) -> None:
        """Wait until the page has handled its input events and has been painted."""
        self.frame.locator("html").evaluate(AWAIT_ANIMATION_FRAMES)

    def choose_dark_mode(self) -> None:
        self.page.evaluate("document.body.classList.add('dark-mode')")
        self.frame.locator("html.dark").wait_for()

    def current_frames(self) -> list[int]:
        """Return the steps of the frames that are marked as current."""
        marked = self.frame.locator('[data-testid=frame][aria-selected="true"]').all()
        return [int(frame.get_attribute("data-step") or -1) for frame in marked]

    def cursor_steps(self) -> list[int]:
        """Return the steps of the cursors of all charts of the path."""
        return [
            int(line.get_attribute("data-step") or -1) for line in self.get("cursor-line").all()
        ]

    def path(self) -> dict[str, Any]:
        """Return the response of the plugin for the open path."""
        opened = self.get("path")
        names = ("run", "tag", "index")
        key = {name: opened.get_attribute(f"data-{name}") for name in names}
        response: dict[str, Any] = ask(self.url, f"path?{urlencode(key)}")
        return response

    def save(self, part: str, label: str) -> tuple[str, bytes]:
        """Save a file through the menu of a part of the page; return its name and content."""
        menu = self.get(part).locator("leaf-save-menu").first
        menu.get_by_test_id("save").click()
        with self.page.expect_download() as download:
            menu.get_by_role("menuitem", name=label, exact=True).click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def legend(self, name: str) -> Locator:
        # JSON escapes strings as CSS does.
        return self.frame.locator(f"[data-testid=legend-entry][data-class={json.dumps(name)}]")

    def curve_pixels(self, chart: str, entry: Locator) -> int:
        """Count the pixels of a chart in the colour of an entry of its legend."""
        colour = entry.locator(".swatch").evaluate(
            r"(swatch) => swatch.style.background.match(/rgb\([^)]*\)|#\w+/)[0]"
        )
        count: int = self.get(chart).evaluate(COUNT_PIXELS, colour)
        return count


def missing(tab: LeafTab) -> list[str]:
    """Return the parts of the open path and of training that are not shown."""
    return [*missing_in_strip(tab), *missing_curves(tab), *missing_training(tab)]


def missing_in_strip(tab: LeafTab) -> list[str]:
    path = tab.path()
    frames = tab.get("strip").get_by_test_id("frame").all()
    steps = path["frame_steps"]
    if len(frames) != len(steps):
        return [f"strip: {len(frames)} frames instead of {len(steps)}"]
    problems = []
    labels = zip(path["frame_labels"], path["frame_probabilities"], strict=True)
    for frame, step, (label, probability) in zip(frames, steps, labels, strict=True):
        if frame.get_attribute("data-step") != str(step):
            problems.append(f"strip: frame of step {step}")
        if not frame.evaluate(IS_PAINTED):
            problems.append(f"strip: image of step {step}")
        shown = frame.get_by_test_id("frame-label").all_inner_texts()
        if [text.split() for text in shown] != [[*label.split(), f"{probability:.2f}"]]:
            problems.append(f"strip: label of step {step}: {shown}")
    if not tab.get("status").inner_text().strip():
        problems.append("status")
    return problems


def missing_curves(tab: LeafTab) -> list[str]:
    path = tab.path()
    names = [
        entry.get_attribute("data-class")
        for entry in tab.get("probability-chart").get_by_test_id("legend-entry").all()
    ]
    problems = [] if names == path["classes"] else [f"legend: {names} instead of {path['classes']}"]
    for name, values in zip(path["classes"], path["probabilities"], strict=True):
        is_clear = max(value or 0 for value in values) > CLEAR_PROBABILITY
        if name in names and is_clear:
            pixels = tab.curve_pixels("probability-chart", tab.legend(name))
            if pixels < CURVE_PIXELS:
                problems.append(f"curve of class {name}: {pixels} pixels")
    for entry in tab.get("distance-chart").get_by_test_id("legend-entry").all():
        pixels = tab.curve_pixels("distance-chart", entry)
        if pixels < CURVE_PIXELS:
            problems.append(f"curve of {entry.inner_text()}: {pixels} pixels")
    return problems


def missing_training(tab: LeafTab) -> list[str]:
    return [
        f"curves of {chart}"
        for chart in TRAINING_CHARTS
        if tab.get(chart).evaluate(COUNT_COLOURED_PIXELS) < CURVE_PIXELS
    ]
