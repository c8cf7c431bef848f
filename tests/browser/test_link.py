"""The view is stored in the URL: links, and back and forward between views."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.test_zoom import PATH_CHARTS, drag, pictures, shown_steps
from tests.support.browser.leaf_tab import TRAINING_CHARTS, LeafTab

Show = Callable[..., LeafTab]


def test_back_and_forward_navigate_between_views(tab: LeafTab) -> None:
    titles = [tab.get("path-title").inner_text()]
    for pair in (1, 2):
        tab.get(f"pair-{pair}").click()
        tab.await_path()
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


def test_copied_link_opens_the_same_view(tab: LeafTab, show: Show) -> None:
    tab.get("pair-1").click()
    tab.await_path()
    tab.get("scale-linear").check()
    tab.get("smoothing").fill("0.5")
    tab.get("tab-pairs").click()
    tab.legend("0").click()
    drag(tab, "rank-chart", 0, 0.5)
    drag(tab, "distance-chart", 0.25, 0.75)
    tab.get("scrubber").fill("222")

    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.get("copy-link").click()
    expect(tab.get("copy-link")).to_contain_text("copied")
    link = tab.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{tab.url}#leaf&p.leaf.")

    other = show(tab.url)
    other.page.goto(link)
    other.await_path()
    for part in ("path-title", "zoom-note"):
        expect(other.get(part)).to_have_text(tab.get(part).inner_text().replace("\n", " "))
    assert shown_steps(other) == shown_steps(tab)
    other.await_cursor(222)
    expect(other.get("scale-linear")).to_be_checked()
    expect(other.get("smoothing")).to_have_value("0.5")
    expect(other.get("tab-pairs")).to_have_attribute("aria-pressed", "true")
    expect(other.legend("0")).to_have_attribute("aria-pressed", "false")
    charts = (*TRAINING_CHARTS, *PATH_CHARTS)
    other.await_value(lambda: pictures(other, *charts), pictures(tab, *charts))


def test_link_is_copied_without_the_clipboard_api(tab: LeafTab) -> None:
    """Browsers provide no clipboard API on remote pages without HTTPS."""
    tab.frame.locator("body").evaluate(
        "() => Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    tab.get("copy-link").click()
    expect(tab.get("copy-link")).to_contain_text("copied")
    tab.page.context.grant_permissions(["clipboard-read"])
    link = tab.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{tab.url}#leaf&p.leaf.run=digits%2Fsgd&p.leaf.tag=horizontal_path")


def test_moving_the_cursor_adds_no_history_entry(tab: LeafTab) -> None:
    length = tab.page.evaluate("history.length")
    tab.get("scrubber").fill("77")
    tab.page.wait_for_function("location.hash.includes('at=77')")
    assert tab.page.evaluate("history.length") == length
