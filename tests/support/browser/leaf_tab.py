"""The LEAF tab in a browser: how to open it, and what is missing on it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import FrameLocator, Locator, Page

from tests.support.tensorboard_process import ask

PATIENCE_SECONDS = 30
TRAINING_CHARTS = ("trace-chart", "rank-chart", "dimension-chart")

# A class whose probability stays below this may be hidden behind others.
CLEAR_PROBABILITY = 0.1
# Fewer are left of a curve that is not there: edges of letters and of other curves.
CURVE_PIXELS = 25

COUNT_PIXELS = """
(chart, css) => {
  const canvas = chart.querySelector("canvas");
  if (!canvas) return 0;
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = css;
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data;
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const difference = [0, 1, 2].map((c) => Math.abs(data[i + c] - wanted[c]));
    if (data[i + 3] > 200 && Math.max(...difference) < 16) count += 1;
  }
  return count;
}
"""
COUNT_INK = """
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


class LeafTab:
    """The tab in TensorBoard at `url`, shown by `page`."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, **view: str) -> LeafTab:
        """Show the tab, with the parts of `view` in its address."""
        fragment = "".join(f"&p.leaf.{part}" for part in urlencode(view).split("&") if part)
        self.page.goto(f"{self.url}#leaf{fragment}")
        return self

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe[src*=plugin_entry]")

    def get(self, name: str) -> Locator:
        """The elements with `data-testid` `name`."""
        return self.frame.get_by_test_id(name)

    def await_path(self) -> LeafTab:
        """Wait until a path and all curves of training are there."""
        self.get("frame").first.wait_for()
        self.frame.locator(".training[aria-busy=false]").wait_for()
        return self

    def await_complaint(self, word: str) -> None:
        """Wait until the browser has complained of something in that word."""
        last = time.monotonic() + PATIENCE_SECONDS
        while not any(word in complaint for complaint in self.complaints):
            assert time.monotonic() < last, f"nothing of {word!r}, only {self.complaints}"
            self.page.wait_for_timeout(50)

    def choose_dark_mode(self) -> None:
        self.page.evaluate("document.body.classList.add('dark-mode')")
        self.frame.locator("html.dark").wait_for()

    def current_frames(self) -> list[int]:
        """The steps of the frames that are marked as current."""
        marked = self.frame.locator('[data-testid=frame][aria-selected="true"]').all()
        return [int(frame.get_attribute("data-step") or -1) for frame in marked]

    def cursor_steps(self) -> list[int]:
        """Where the cursors of all charts of the path are."""
        return [
            int(line.get_attribute("data-step") or -1) for line in self.get("cursor-line").all()
        ]

    def path(self) -> dict[str, Any]:
        """What the plugin answers of the path that is open."""
        opened = self.get("path")
        names = ("run", "tag", "index")
        key = {name: opened.get_attribute(f"data-{name}") for name in names}
        answer: dict[str, Any] = ask(self.url, f"path?{urlencode(key)}")
        return answer

    def save(self, part: str, label: str) -> tuple[str, bytes]:
        """Name and content of a file that the menu of a part of the page offers."""
        menu = self.get(part).locator("leaf-save-menu").first
        menu.get_by_test_id("save").click()
        with self.page.expect_download() as download:
            menu.get_by_role("menuitem", name=label, exact=True).click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def legend(self, name: str) -> Locator:
        # As a string of CSS, which escapes as JSON does.
        return self.frame.locator(f"[data-testid=legend-entry][data-class={json.dumps(name)}]")

    def curve_pixels(self, chart: str, entry: Locator) -> int:
        """Pixels on a chart in the colour of an entry of its legend."""
        colour = entry.locator(".swatch").evaluate(
            r"(swatch) => swatch.style.background.match(/rgb\([^)]*\)|#\w+/)[0]"
        )
        found: int = self.get(chart).evaluate(COUNT_PIXELS, colour)
        return found


def missing(tab: LeafTab) -> list[str]:
    """What is not shown of the open path, and of training; empty if all is well."""
    return [*missing_in_strip(tab), *missing_curves(tab), *missing_training(tab)]


def missing_in_strip(tab: LeafTab) -> list[str]:
    path = tab.path()
    frames = tab.get("strip").get_by_test_id("frame").all()
    steps = path["frame_steps"]
    if len(frames) != len(steps):
        return [f"strip: {len(frames)} frames instead of {len(steps)}"]
    found = []
    labels = zip(path["frame_labels"], path["frame_probabilities"], strict=True)
    for frame, step, (label, probability) in zip(frames, steps, labels, strict=True):
        if frame.get_attribute("data-step") != str(step):
            found.append(f"strip: frame of step {step}")
        if not frame.evaluate(IS_PAINTED):
            found.append(f"strip: image of step {step}")
        shown = frame.get_by_test_id("frame-label").all_inner_texts()
        if [text.split() for text in shown] != [[*label.split(), f"{probability:.2f}"]]:
            found.append(f"strip: label of step {step}, which reads {shown}")
    if not tab.get("status").inner_text().strip():
        found.append("status")
    return found


def missing_curves(tab: LeafTab) -> list[str]:
    path = tab.path()
    names = [
        entry.get_attribute("data-class")
        for entry in tab.get("probability-chart").get_by_test_id("legend-entry").all()
    ]
    found = [] if names == path["classes"] else [f"legend: {names} instead of {path['classes']}"]
    for name, values in zip(path["classes"], path["probabilities"], strict=True):
        is_clear = max(value or 0 for value in values) > CLEAR_PROBABILITY
        if name in names and is_clear:
            pixels = tab.curve_pixels("probability-chart", tab.legend(name))
            if pixels < CURVE_PIXELS:
                found.append(f"curve of class {name}: {pixels} pixels")
    for entry in tab.get("distance-chart").get_by_test_id("legend-entry").all():
        pixels = tab.curve_pixels("distance-chart", entry)
        if pixels < CURVE_PIXELS:
            found.append(f"curve of {entry.inner_text()}: {pixels} pixels")
    return found


def missing_training(tab: LeafTab) -> list[str]:
    return [
        f"curves of {chart}"
        for chart in TRAINING_CHARTS
        if tab.get(chart).evaluate(COUNT_INK) < CURVE_PIXELS
    ]
