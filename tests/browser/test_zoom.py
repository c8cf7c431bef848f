"""Zoom: path steps in all parts of a path, optimizer steps in training charts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.support.browser.leaf_tab import TRAINING_CHARTS, LeafTab, missing_curves

Show = Callable[..., LeafTab]
PATH_CHARTS = ("probability-chart", "distance-chart")


def drag(tab: LeafTab, chart: str, start: float, end: float, *, release: bool = True) -> Locator:
    """Drag the mouse between two shares of a chart's width."""
    over = tab.get(chart).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 3
    tab.page.mouse.move(box["x"] + start * box["width"], y)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    if release:
        tab.page.mouse.up()
    return over


def pictures(tab: LeafTab, *charts: str) -> list[str]:
    return [
        tab.get(chart).locator("canvas").evaluate("(canvas) => canvas.toDataURL()")
        for chart in charts
    ]


def is_redrawn(tab: LeafTab, before: list[str], *charts: str) -> bool:
    """Return whether all charts differ from earlier pictures of them."""
    return all(old != new for old, new in zip(before, pictures(tab, *charts), strict=True))


def shown_steps(tab: LeafTab) -> list[int]:
    return [int(frame.get_attribute("data-step") or -1) for frame in tab.get("frame").all()]


@pytest.mark.parametrize("chart", PATH_CHARTS)
def test_dragging_over_a_path_chart_zooms_the_whole_path(tab: LeafTab, chart: str) -> None:
    before = pictures(tab, *PATH_CHARTS)
    drag(tab, chart, 0.75, 0.25)
    expect(tab.get("zoom-note")).to_contain_text("path steps 120–360 of 480")
    tab.await_value(lambda: is_redrawn(tab, before, *PATH_CHARTS), True)
    assert shown_steps(tab) == [s for s in tab.path()["frame_steps"] if 120 <= s <= 360]
    scrubber = tab.get("scrubber")
    assert [scrubber.get_attribute(end) for end in ("min", "max")] == ["120", "360"]
    scrubber.press("Home")
    tab.await_cursor(120)
    scrubber.press("End")
    tab.await_cursor(360)
    assert missing_curves(tab) == []


@pytest.mark.parametrize("way", ["double-click", "Escape", "whole path", "0"])
def test_zoom_of_a_path_is_reset(tab: LeafTab, way: str) -> None:
    tab.get("scrubber").press("Home")
    before = pictures(tab, *PATH_CHARTS)
    over = drag(tab, "distance-chart", 0.2, 0.6)
    expect(tab.get("zoom-note")).to_be_visible()
    tab.await_value(lambda: is_redrawn(tab, before, *PATH_CHARTS), True)
    if way == "double-click":
        over.dblclick(position={"x": 50, "y": 50})
    elif way == "whole path":
        tab.get("zoom-note").get_by_role("button").click()
    else:
        tab.page.keyboard.press(way)
    expect(tab.get("zoom-note")).to_have_count(0)
    assert shown_steps(tab) == tab.path()["frame_steps"]
    tab.await_value(lambda: pictures(tab, *PATH_CHARTS), before)


def test_escape_cancels_a_drag_and_a_click_does_not_zoom(tab: LeafTab) -> None:
    drag(tab, "distance-chart", 0.2, 0.6, release=False)
    expect(tab.frame.locator(".selection")).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(tab.frame.locator(".selection")).to_have_count(0)
    tab.page.mouse.up()
    drag(tab, "distance-chart", 0.5, 0.502)
    # Give the page time to zoom. A slow machine cannot fail this test.
    tab.page.wait_for_timeout(300)
    expect(tab.get("zoom-note")).to_have_count(0)


def test_keys_zoom_around_the_current_step(tab: LeafTab) -> None:
    tab.get("scrubber").fill("240")
    plot = tab.get("probability-chart").get_by_role("group", name="Curves.")
    plot.focus()
    tab.page.keyboard.press("+")
    expect(tab.get("zoom-note")).to_contain_text("path steps 120–360")
    tab.page.keyboard.press("+")
    expect(tab.get("zoom-note")).to_contain_text("path steps 180–300")
    tab.await_cursor(240)
    tab.page.keyboard.press("-")
    expect(tab.get("zoom-note")).to_contain_text("path steps 120–360")
    tab.page.keyboard.press("0")
    expect(tab.get("zoom-note")).to_have_count(0)


def test_range_between_two_frames_shows_the_nearest_frame(show: Show, url: str) -> None:
    tab = show(url).open(
        run="digits/sgd", tag="horizontal_path/000000003000-", **{"path-steps": "64-70"}
    )
    tab.await_path()
    expect(tab.get("zoom-note")).to_contain_text("path steps 64–70")
    [step] = shown_steps(tab)
    assert step == min(tab.path()["frame_steps"], key=lambda s: abs(s - 67))
    tab.await_current_frame(step)


def test_zoom_is_reset_for_another_path(tab: LeafTab) -> None:
    drag(tab, "distance-chart", 0.2, 0.6)
    expect(tab.get("zoom-note")).to_be_visible()
    tab.get("pair-1").click()
    tab.await_path()
    expect(tab.get("zoom-note")).to_have_count(0)
    assert shown_steps(tab) == tab.path()["frame_steps"]


@pytest.mark.parametrize("way", ["double-click", "Escape", "all steps"])
def test_dragging_over_a_training_chart_zooms_all_training_charts(tab: LeafTab, way: str) -> None:
    before = pictures(tab, *TRAINING_CHARTS)
    over = drag(tab, "rank-chart", 0, 0.5)
    expect(tab.get("unzoom")).to_have_count(3)
    tab.await_value(lambda: is_redrawn(tab, before, *TRAINING_CHARTS), True)
    # Markers outside the range are hidden.
    steps = [
        int(marker.get_attribute("data-step") or -1) for marker in tab.get("snapshot-marker").all()
    ]
    assert steps
    assert max(steps) <= 1500
    if way == "double-click":
        over.dblclick(position={"x": 50, "y": 50})
    elif way == "all steps":
        tab.get("rank-chart").get_by_role("button", name=way).click()
    else:
        tab.page.keyboard.press(way)
    expect(tab.get("unzoom")).to_have_count(0)
    tab.await_value(lambda: pictures(tab, *TRAINING_CHARTS), before)
