"""Touch input: a horizontal swipe moves the cursor or zooms, a vertical swipe scrolls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.support.browser.leaf_tab import LeafTab

Show = Callable[..., LeafTab]
Point = tuple[float, float]


@pytest.fixture
def touched(show: Show, url: str) -> LeafTab:
    """The tab on a touch screen."""
    tab = show(url, width=1024, height=1300, touch=True)
    return tab.open(run="digits/sgd", tag="horizontal_path/000000003000-").await_path()


def swipe(tab: LeafTab, over: Locator, start: Point, end: Point) -> list[list[int]]:
    """Swipe between two points, in shares of the element's size; return the cursors' steps."""
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    session = tab.page.context.new_cdp_session(tab.page)
    steps = []
    moves = 8
    for i in range(moves + 1):
        share = [one + (other - one) * i / moves for one, other in zip(start, end, strict=True)]
        point = {"x": box["x"] + share[0] * box["width"], "y": box["y"] + share[1] * box["height"]}
        kind = "touchMove" if i else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        tab.await_animation_frames()
        steps.append(tab.cursor_steps())
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()
    return steps


def scrolled(tab: LeafTab) -> float:
    height: float = tab.frame.locator("html").evaluate("(html) => html.scrollTop")
    return height


@pytest.mark.parametrize("chart", ["probability-chart", "distance-chart"])
def test_horizontal_swipe_over_a_path_chart_moves_the_cursor(touched: LeafTab, chart: str) -> None:
    over = touched.get(chart).locator(".u-over")
    cursors = swipe(touched, over, (0.1, 0.5), (0.9, 0.5))
    assert all(first == second for first, second in cursors)
    steps = [first for first, _ in cursors]
    assert steps == sorted(steps)
    assert steps[0] == pytest.approx(48, abs=8)
    assert steps[-1] == pytest.approx(432, abs=8)
    expect(touched.get("zoom-note")).to_have_count(0)


def test_tap_on_a_path_chart_moves_the_cursor(touched: LeafTab) -> None:
    over = touched.get("distance-chart").locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    over.tap(position={"x": box["width"] / 4, "y": 50})
    touched.await_cursor(pytest.approx(120, abs=8))


def test_horizontal_swipe_over_the_strip_moves_the_cursor(touched: LeafTab) -> None:
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


def test_swipe_captured_by_the_first_frame_does_not_move_the_cursor(touched: LeafTab) -> None:
    touched.get("strip").evaluate(
        "(strip) => strip.addEventListener('pointerdown', ({target, pointerId}) =>"
        " target.closest('.frame').setPointerCapture(pointerId))"
    )
    seen = swipe(touched, touched.get("strip"), (0.01, 0.1), (0.99, 0.1))
    assert seen[-1] == [0, 0]


def test_horizontal_swipe_over_a_training_chart_zooms(touched: LeafTab) -> None:
    over = touched.get("rank-chart").locator(".u-over")
    swipe(touched, over, (0.1, 0.4), (0.5, 0.4))
    expect(touched.get("unzoom")).to_have_count(3)
    touched.get("unzoom").first.tap()
    expect(touched.get("unzoom")).to_have_count(0)


def test_vertical_swipe_over_a_chart_scrolls(touched: LeafTab) -> None:
    over = touched.get("rank-chart").locator(".u-over")
    swipe(touched, over, (0.5, 0.9), (0.52, -0.9))
    touched.await_value(lambda: scrolled(touched) > 50, True)
    expect(touched.get("unzoom")).to_have_count(0)
    expect(touched.frame.locator(".selection")).to_have_count(0)


def test_swipe_does_not_zoom_without_the_touch_action_style(touched: LeafTab) -> None:
    """Without it, the browser handles the swipe as scrolling."""
    over = touched.get("rank-chart").locator(".u-over")
    over.evaluate("(over) => { over.style.touchAction = 'auto'; }")
    swipe(touched, over, (0.1, 0.4), (0.5, 0.4))
    expect(touched.get("unzoom")).to_have_count(0)
