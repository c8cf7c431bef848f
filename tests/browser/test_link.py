"""The view in the address: links that lead to it, back and forward between views."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.leaf_tab import LeafTab
from tests.browser.test_zoom import drag, shown_steps

Show = Callable[..., LeafTab]


def test_back_and_forward_walk_through_views(tab: LeafTab) -> None:
    titles = [tab.get("path-title").inner_text()]
    for pair in (1, 2):
        tab.get(f"pair-{pair}").click()
        titles.append(tab.get("path-title").inner_text())
        tab.page.wait_for_function(f"location.hash.includes('index={pair}')")
    drag(tab, "distance-chart", 0.25, 0.75)
    tab.page.wait_for_function("location.hash.includes('path-steps')")
    zoomed = shown_steps(tab)

    tab.page.go_back()
    expect(tab.get("zoom-note")).to_have_count(0)
    for title in reversed(titles[:-1]):
        tab.page.go_back()
        expect(tab.get("path-title")).to_have_text(title)
    for title in titles[1:]:
        tab.page.go_forward()
        expect(tab.get("path-title")).to_have_text(title)
    tab.page.go_forward()
    expect(tab.get("zoom-note")).to_be_visible()
    assert shown_steps(tab) == zoomed


def test_moving_the_cursor_is_no_step_back(tab: LeafTab) -> None:
    length = tab.page.evaluate("history.length")
    tab.get("scrubber").fill("77")
    tab.page.wait_for_function("location.hash.includes('at=77')")
    assert tab.page.evaluate("history.length") == length
