"""The tab with a hundred rows, and with ten thousand steps of a thousand classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lightning_leaf.display.snapshots import MAX_BYTES
from lightning_leaf.drawing.classes_shown import CLASSES_SHOWN
from tests.benchmarks.logs_written import LOGGED_STEPS, write_steps
from tests.benchmarks.long_path import CLASSES, STEPS, publish_long_path
from tests.support.browser.leaf_tab import IS_PAINTED, LeafTab, missing_curves, missing_in_strip
from tests.support.tensorboard_process import await_snapshots, tensorboard

Show = Callable[..., LeafTab]

MAX_DRAWN_ROWS = 20
# An observer that reports every element as visible.
ALL_VISIBLE = """
window.IntersectionObserver = class {
  constructor(callback) { this.callback = callback; }
  observe(target) { setTimeout(() => this.callback([{target, isIntersecting: true}])); }
  unobserve() {}
  disconnect() {}
};
"""


@pytest.fixture(scope="module")
def moments_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("moments")
    write_steps(folder)
    with tensorboard(folder, "--load_fast=true") as url:
        await_snapshots(url, LOGGED_STEPS)
        yield url


def drawn_rows(tab: LeafTab) -> list[int]:
    """Return the positions of the rows that contain a canvas."""
    positions: list[int] = tab.frame.locator("leaf-row").evaluate_all(
        "(rows) => rows.flatMap((row, i) => (row.querySelector('canvas') ? [i] : []))"
    )
    return positions


def test_only_visible_rows_are_drawn_and_scrolling_draws_others(
    show: Show, moments_url: str
) -> None:
    fetched: list[str] = []
    tab = show(moments_url)
    tab.page.on("request", lambda request: fetched.append(request.url))
    tab.open().await_path()
    rows = tab.get("row")
    expect(rows).to_have_count(LOGGED_STEPS)
    rows.first.scroll_into_view_if_needed()
    expect(rows.first.get_by_test_id("row-frame")).to_have_count(13)
    drawn_at_top = drawn_rows(tab)
    assert drawn_at_top[0] == 0
    assert len(drawn_at_top) < MAX_DRAWN_ROWS
    # Frames of rows (some may not be requested yet) and of the open path.
    assert sum("/frames?" in url for url in fetched) <= MAX_DRAWN_ROWS

    rows.last.scroll_into_view_if_needed()
    expect(rows.last.get_by_test_id("row-frame")).to_have_count(13)
    tab.frame.locator("leaf-row").last.locator("canvas").wait_for()
    drawn_at_end = drawn_rows(tab)
    assert drawn_at_end[-1] == LOGGED_STEPS - 1
    assert 0 not in drawn_at_end
    assert len(drawn_at_end) < MAX_DRAWN_ROWS
    assert rows.last.evaluate(IS_PAINTED)


def test_rows_drawn_out_of_view_are_detected(show: Show, moments_url: str) -> None:
    tab = show(moments_url)
    tab.page.add_init_script(ALL_VISIBLE)
    tab.open().await_path()
    expect(tab.frame.locator("leaf-row canvas")).to_have_count(LOGGED_STEPS)
    assert len(drawn_rows(tab)) == LOGGED_STEPS


def test_rows_keep_their_height_out_of_view(show: Show, moments_url: str) -> None:
    tab = show(moments_url).open().await_path()
    height = "(row) => row.getBoundingClientRect().height"
    first = tab.get("row").first
    first.scroll_into_view_if_needed()
    first.locator("canvas").wait_for()
    shown = first.evaluate(height)
    tab.get("row").last.scroll_into_view_if_needed()
    first.locator("canvas").wait_for(state="detached")
    assert first.evaluate(height) == pytest.approx(shown, abs=0.5)


def test_ten_thousand_steps_of_a_thousand_classes_are_shown(show: Show, tmp_path: Path) -> None:
    path = publish_long_path(tmp_path)
    assert path.log_probs.shape == (STEPS + 1, CLASSES)
    # Without thinning, the snapshot would be twenty times as large as the limit.
    assert path.log_probs.nbytes >= 20 * MAX_BYTES
    (file,) = tmp_path.rglob("*tfevents*")
    assert file.stat().st_size < MAX_BYTES
    with tensorboard(tmp_path, "--load_fast=true") as url:
        await_snapshots(url, 1)
        tab = show(url).open()
        tab.get("strip").locator("canvas").first.wait_for()
        response = tab.path()
        assert response["steps"] == response["curve_steps"][-1] == STEPS
        assert len(response["classes"]) == CLASSES_SHOWN + 1
        assert response["classes"][-1] == "other"
        assert [*missing_in_strip(tab), *missing_curves(tab)] == []
        by_step = zip(*response["probabilities"], strict=True)
        assert all(sum(values) == pytest.approx(1, abs=1e-3) for values in by_step)

        scrubber = tab.get("scrubber")
        scrubber.press("Home")
        tab.await_current_frame(0)
        scrubber.press("End")
        tab.await_current_frame(STEPS)
        tab.await_cursor(STEPS)
        best = int(path.log_probs[-1].argmax())
        expect(scrubber).to_have_attribute("aria-valuetext", re.compile(f"predicted {best}, "))
