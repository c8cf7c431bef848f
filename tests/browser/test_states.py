"""States of the page: empty, damaged data, errors, dark mode, hidden, narrow windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect
from tensorboard_plugin_leaf import encode

from tests.support.browser.leaf_tab import LeafTab, missing
from tests.support.browser.training_curves import write_training_curves
from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory, blob_summary
from tests.support.tensorboard_process import await_snapshots, tensorboard

Show = Callable[..., LeafTab]


def test_page_of_an_empty_directory_explains_how_to_log_data(show: Show, tmp_path: Path) -> None:
    with tensorboard(tmp_path) as url:
        tab = show(url).open()
        empty = tab.get("empty")
        expect(empty).to_contain_text("pip install lightning-leaf")
        expect(empty).to_contain_text("LocalDataMatrixMonitor()")
        expect(empty).to_contain_text("tensorboard --logdir")


def test_page_without_snapshots_explains_how_to_log_them(show: Show, tmp_path: Path) -> None:
    with LogDirectory(tmp_path).run("run") as writer:
        write_training_curves(writer)
    with tensorboard(tmp_path) as url:
        tab = show(url).open()
        expect(tab.get("no-path")).to_contain_text("HorizontalPathSnapshot()")
        expect(tab.get("trace-chart").locator("canvas")).to_be_visible()


def test_damage_is_reported_and_does_not_affect_other_snapshots(show: Show, tmp_path: Path) -> None:
    session = synthetic.FIRST_SESSION
    index, blobs = encode(synthetic.snapshot(200))
    with LogDirectory(tmp_path).run("run") as writer:
        events = writer._get_file_writer()
        tags = {step: f"horizontal_path/{step:012d}-{session}" for step in (100, 200, 300)}
        events.add_summary(blob_summary(tags[100], b"{not JSON", blobs), 100)
        events.add_summary(blob_summary(tags[200], index, blobs), 200)
        broken = index.replace(b'"step":200', b'"step":300')
        assert broken != index
        events.add_summary(blob_summary(tags[300], broken, [b"garbage", *blobs[1:]]), 300)
        events.add_summary(blob_summary("newer", b'{"schema":2}', blobs), 400)
    with tensorboard(tmp_path) as url:
        await_snapshots(url, 4)
        tab = show(url).open()
        expect(tab.get("damaged")).to_contain_text(tags[100])
        newer = tab.get("damaged").locator("li").filter(has_text="newer")
        expect(newer).to_contain_text("upgrade the plugin")
        expect(newer).not_to_contain_text("damaged")
        error = tab.get("path-error")
        expect(error).to_contain_text(f"cannot be shown: path 0 of snapshot '{tags[300]}'")
        for report in (tab.get("damaged"), error):
            expect(report).to_contain_text("damaged, or was not written by LEAF")
            expect(report).to_contain_text("Others are not affected")
            expect(report).to_contain_text("copy them again")
        expect(error).to_contain_text("Detail: path: expected a zip archive, got 7 bytes.")
        tab.get("pair-1").click()
        tab.await_path()
        tab.get("pair-0").click()
        expect(tab.get("path-error")).to_be_visible()
        tab.get("snapshot-step").select_option(label="step 200")
        tab.await_path()
        # The plugin responds to damaged paths with 404, which the browser reports.
        assert all("404" in error for error in tab.errors)
        tab.errors.clear()


def test_unreachable_server_is_reported_and_retried(show: Show, url: str) -> None:
    tab = show(url)
    tab.page.route("**/data/plugin/leaf/snapshots", lambda route: route.abort())
    tab.open()
    expect(tab.get("failed")).to_contain_text("cannot be reached")
    tab.page.unroute("**/data/plugin/leaf/snapshots")
    tab.get("failed").get_by_role("button").click()
    tab.await_path()
    assert all("ERR_FAILED" in error for error in tab.errors)
    tab.errors.clear()


def test_page_keeps_its_content_if_the_server_becomes_unreachable(show: Show, tab: LeafTab) -> None:
    tab.page.route("**/data/plugin/leaf/*", lambda route: route.abort())
    tab.page.locator("app-header-reload button").first.click()
    expect(tab.get("banner")).to_contain_text("may be out of date")
    assert tab.get("frame").count() == 24
    tab.page.unroute("**/data/plugin/leaf/*")
    tab.get("banner").get_by_role("button").click()
    expect(tab.get("banner")).to_have_count(0)
    assert all("ERR_FAILED" in error for error in tab.errors)
    tab.errors.clear()


def test_path_arrives_although_the_view_changes_while_it_loads(tab: LeafTab) -> None:
    held: list[Route] = []
    tab.page.route("**/path?*", lambda route: held.append(route))
    tab.get("pair-1").click()
    expect(tab.get("path")).to_have_attribute("aria-busy", "true")
    expect(tab.get("path")).to_contain_text("Loading the path")
    tab.get("scale-linear").check()
    tab.await_value(lambda: len(held) > 0, True)
    tab.page.route("**/path?*", lambda route: route.continue_())  # replaces the first handler
    for route in held:
        route.continue_()
    tab.await_path()
    assert missing(tab) == []


def test_dark_mode_follows_tensorboard(tab: LeafTab) -> None:
    def brightness() -> int:
        colour: int = tab.get("path").evaluate(
            "(card) => Number(getComputedStyle(card).backgroundColor.match(/\\d+/)[0])"
        )
        return colour

    assert brightness() > 200
    tab.choose_dark_mode()
    assert brightness() < 80
    assert missing(tab) == []
    tab.page.evaluate("document.body.classList.remove('dark-mode')")
    expect(tab.frame.locator("html.dark")).to_have_count(0)
    assert brightness() > 200


def test_hidden_tab_sends_no_requests_until_it_is_shown(tab: LeafTab) -> None:
    requested: list[str] = []
    tab.page.get_by_role("tab", name="Time Series").click()
    expect(tab.page.locator("iframe[src*=plugin_entry]")).to_be_hidden()
    tab.page.on("request", lambda request: requested.append(request.url))
    tab.page.locator("app-header-reload button").first.click()
    # Give the tab time to send a request. A slow machine cannot fail this test.
    tab.page.wait_for_timeout(1500)
    assert not [address for address in requested if "plugin/leaf" in address]
    with tab.page.expect_request("**/plugin/leaf/snapshots"):
        tab.page.get_by_role("tab", name="LEAF").click()
    tab.await_path()
    assert missing(tab) == []


def overlapping(parts: list[Locator]) -> list[tuple[int, int]]:
    """Return the pairs of parts of the page that overlap."""
    boxes = [box for part in parts if (box := part.bounding_box())]
    assert len(boxes) == len(parts) > 1
    return [
        (i, j)
        for (i, one), (j, other) in itertools.combinations(enumerate(boxes), 2)
        if one["x"] + one["width"] > other["x"]
        and other["x"] + other["width"] > one["x"]
        and one["y"] + one["height"] > other["y"]
        and other["y"] + other["height"] > one["y"]
    ]


@pytest.mark.parametrize("width", [768, 1024, 1440])
def test_no_part_overlaps_or_is_cut_off(show: Show, url: str, width: int) -> None:
    tab = show(url, width=width).open(run="digits/sgd", tag="horizontal_path/000000003000-")
    tab.await_path()
    page_width, window_width = tab.frame.locator("html").evaluate(
        "(html) => [html.scrollWidth, innerWidth]"
    )
    assert page_width == window_width
    cards = tab.frame.locator(".card").all()
    assert len(cards) == 7
    assert overlapping(cards) == []
    assert missing(tab) == []


def test_texts_for_screen_readers_are_not_visible(tab: LeafTab) -> None:
    """A style hides these texts at every position in the page."""
    size = "(text) => text.offsetWidth * text.offsetHeight"
    texts = tab.frame.locator(".visually-hidden").all()
    assert len(texts) > 3
    assert [text.evaluate(size) for text in texts] == [1] * len(texts)
    texts[0].evaluate("(text) => text.classList.remove('visually-hidden')")
    assert tab.frame.locator("h1").evaluate(size) > 100


def is_one_line(tab: LeafTab) -> bool:
    """Return whether title, facts, status and actions of the open path are on one line."""
    parts = tab.get("path").locator("h2, .heading p, .pill, .actions button").all()
    boxes = [box for part in parts if (box := part.bounding_box())]
    assert len(boxes) == len(parts) >= 6
    middles = [box["y"] + box["height"] / 2 for box in boxes]
    return max(middles) - min(middles) < 6


def test_header_of_a_path_fits_on_one_line(show: Show, url: str) -> None:
    view = {"run": "digits/sgd", "tag": "horizontal_path/000000003000-"}
    for index in range(4):
        tab = show(url).open(index=str(index), **view).await_path()
        assert is_one_line(tab)
        tab.page.set_viewport_size({"width": 768, "height": 1000})
        assert not is_one_line(tab)


@pytest.mark.parametrize("width", [768, 900, 1024, 1180, 1280])
def test_header_of_a_path_does_not_overlap(show: Show, url: str, width: int) -> None:
    tab = show(url, width=width).open(run="digits/sgd", tag="horizontal_path/000000003000-")
    header = tab.await_path().get("path").locator("header")
    assert overlapping(header.locator("h2, .heading p, .pill, .actions > *").all()) == []
    # The names of runs may be long.
    header.locator(".heading p").evaluate(
        "(facts) => { facts.textContent += '/version'.repeat(20); }"
    )
    assert overlapping(header.locator("h2, .heading p, .pill, .actions > *").all()) == []
    header.locator(".pill").evaluate("(status) => { status.style.marginRight = '-40px'; }")
    assert overlapping(header.locator("h2, .heading p, .pill, .actions > *").all()) != []


def test_page_sends_requests_only_to_tensorboard(show: Show, url: str) -> None:
    tab = show(url)
    requested: list[str] = []
    tab.page.on("request", lambda request: requested.append(request.url))
    tab.open().await_path()
    assert any("plugin/leaf/frames" in address for address in requested)
    outside = [address for address in requested if not address.startswith((url, "data:", "blob:"))]
    assert outside == []
