"""Fingers on the page: across charts and strips they move the cursor or zoom, along them scroll."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.support.browser.leaf_tab import LeafTab

Show = Callable[..., LeafTab]
Place = tuple[float, float]


@pytest.fixture
def touched(show: Show, url: str) -> LeafTab:
    """The tab on a tablet."""
    tab = show(url, width=1024, height=1300, touch=True)
    return tab.open(run="digits/sgd", tag="horizontal_path/000000003000-").await_path()


def swipe(tab: LeafTab, over: Locator, start: Place, end: Place) -> list[list[int]]:
    """Drag a finger between two places, in shares of an element; the cursors' steps on the way."""
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    fingers = tab.page.context.new_cdp_session(tab.page)
    seen = []
    moves = 8
    for i in range(moves + 1):
        share = [one + (other - one) * i / moves for one, other in zip(start, end, strict=True)]
        point = {"x": box["x"] + share[0] * box["width"], "y": box["y"] + share[1] * box["height"]}
        kind = "touchMove" if i else "touchStart"
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        tab.page.wait_for_timeout(30)
        seen.append(tab.cursor_steps())
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    fingers.detach()
    return seen


def scrolled(tab: LeafTab) -> float:
    height: float = tab.frame.locator("html").evaluate("(html) => html.scrollTop")
    return height


@pytest.mark.parametrize("chart", ["probability-chart", "distance-chart"])
def test_a_finger_across_a_curve_moves_the_cursor(touched: LeafTab, chart: str) -> None:
    over = touched.get(chart).locator(".u-over")
    seen = swipe(touched, over, (0.1, 0.5), (0.9, 0.5))
    assert all(one == other for one, other in seen)
    steps = [one for one, _ in seen]
    assert steps == sorted(steps)
    assert steps[0] == pytest.approx(48, abs=8)
    assert steps[-1] == pytest.approx(432, abs=8)
    expect(touched.get("zoom-note")).to_have_count(0)


def test_a_tap_on_a_curve_moves_the_cursor(touched: LeafTab) -> None:
    over = touched.get("distance-chart").locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    over.tap(position={"x": box["width"] / 4, "y": 50})
    assert touched.cursor_steps() == [pytest.approx(120, abs=8)] * 2


def test_a_finger_across_the_strip_moves_the_cursor(touched: LeafTab) -> None:
    steps = touched.path()["frame_steps"]
    first = touched.get("frame").first
    last_of_line = first.evaluate(
        "(frame) => [...frame.parentElement.children].findLastIndex("
        "(other) => other.offsetTop === frame.offsetTop)"
    )
    seen = swipe(touched, touched.get("strip"), (0.01, 0.1), (0.99, 0.1))
    assert seen[0] == [0, 0]
    assert seen[-1] == [steps[last_of_line]] * 2
    assert seen == sorted(seen)


def test_a_finger_that_the_first_frame_holds_moves_nothing(touched: LeafTab) -> None:
    touched.get("strip").evaluate(
        "(strip) => strip.addEventListener('pointerdown', ({target, pointerId}) =>"
        " target.closest('.frame').setPointerCapture(pointerId))"
    )
    seen = swipe(touched, touched.get("strip"), (0.01, 0.1), (0.99, 0.1))
    assert seen[-1] == [0, 0]


def test_a_finger_across_a_chart_of_training_zooms(touched: LeafTab) -> None:
    over = touched.get("rank-chart").locator(".u-over")
    swipe(touched, over, (0.1, 0.4), (0.5, 0.4))
    expect(touched.get("unzoom")).to_have_count(3)
    touched.get("unzoom").first.tap()
    expect(touched.get("unzoom")).to_have_count(0)


def test_a_finger_along_a_chart_scrolls(touched: LeafTab) -> None:
    over = touched.get("rank-chart").locator(".u-over")
    swipe(touched, over, (0.5, 0.9), (0.52, -0.9))
    assert scrolled(touched) > 50
    expect(touched.get("unzoom")).to_have_count(0)
    expect(touched.frame.locator(".selection")).to_have_count(0)


def test_browsers_would_take_fingers_away(touched: LeafTab) -> None:
    """What keeps them from it is a rule of the style sheet."""
    over = touched.get("rank-chart").locator(".u-over")
    over.evaluate("(over) => { over.style.touchAction = 'auto'; }")
    swipe(touched, over, (0.1, 0.4), (0.5, 0.4))
    expect(touched.get("unzoom")).to_have_count(0)
