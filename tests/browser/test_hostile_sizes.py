"""Small log directories that ask for much memory, many elements or endless loops of the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser.leaf_tab import COUNT_COLOURED_PIXELS, CURVE_PIXELS, LeafTab
from tests.support.browser.sizes import (
    CANVAS_PIXELS,
    CLASSES,
    COUNT_BITMAPS,
    COUNT_ELEMENTS,
    DOUBLES,
    LARGE_PATHS,
    LEAK_BITMAPS,
    LONG_RUN,
    NAMES,
    write_sizes,
)
from tests.support.tensorboard_process import await_snapshots, tensorboard

Show = Callable[..., LeafTab]

# Of the open path, of the cache, and of one sheet that is being drawn.
MAX_BITMAP_PIXELS = 3 * 2**24
MAX_CANVAS_PIXELS = 2**24
# The strip with its 1000 frames takes half of them.
MAX_ELEMENTS = 10_000

TAG = "horizontal_path/000000000100-"


@pytest.fixture(scope="module")
def sizes_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("sizes")
    write_sizes(folder)
    with tensorboard(folder, "--load_fast=false") as url:
        await_snapshots(url, NAMES + 5)
        yield url


def elements(tab: LeafTab) -> int:
    count: int = tab.frame.locator("html").evaluate(COUNT_ELEMENTS)
    return count


def most_pixels(tab: LeafTab) -> int:
    """Show all pairs of the run of large images; return the most pixels in open bitmaps."""
    tab.open(run="large", tag=TAG, rows="pairs")
    tab.get("strip").locator("canvas").first.wait_for()
    rows = tab.frame.locator("leaf-row")
    for position in range(LARGE_PATHS):
        rows.nth(position).scroll_into_view_if_needed()
        rows.nth(position).locator("canvas").wait_for()
    assert tab.frame.locator("html").evaluate("() => bitmaps.count") > LARGE_PATHS / 2
    pixels: int = tab.frame.locator("html").evaluate("() => bitmaps.most")
    return pixels


def test_large_images_are_closed_when_they_are_drawn(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url)
    tab.page.add_init_script(COUNT_BITMAPS)
    assert most_pixels(tab) <= MAX_BITMAP_PIXELS
    assert tab.frame.locator("html").evaluate(CANVAS_PIXELS) <= MAX_CANVAS_PIXELS
    expect(tab.get("reduced")).to_contain_text("instead of 2\u202f100 × 2\u202f100 pixels")


def test_images_that_are_not_closed_are_detected(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url)
    tab.page.add_init_script(COUNT_BITMAPS + LEAK_BITMAPS)
    assert most_pixels(tab) > MAX_BITMAP_PIXELS


def test_thousands_of_frames_are_thinned_and_counted(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url).open(run="frames", tag=TAG).await_path()
    expect(tab.get("frame")).to_have_count(1000)
    expect(tab.get("frames-omitted")).to_contain_text("1\u202f000 of 20\u202f000 frames are shown")
    assert elements(tab) <= MAX_ELEMENTS
    # The slider and a click reach the ends; a zoom shows frames that were left out.
    tab.get("scrubber").press("End")
    tab.await_current_frame(19_999)
    tab.get("frame").first.press("Home")
    tab.await_cursor(0)
    tab.get("frame").first.press("ArrowRight")
    tab.await_cursor(20)
    tab.open(run="frames", tag=TAG, **{"path-steps": "100-400"}).await_path()
    expect(tab.get("frame")).to_have_count(301)
    expect(tab.get("frames-omitted")).to_have_count(0)


def test_thousands_of_classes_and_names_are_listed_in_part(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url).open(run="classes", tag=TAG).await_path()
    legend = tab.get("probability-chart").get_by_test_id("legend-entry")
    # The destination is one of the classes.
    expect(legend).to_have_count(200)
    expect(tab.get("classes-omitted")).to_contain_text(f"{CLASSES - 200:,}".replace(",", "\u202f"))
    assert elements(tab) <= MAX_ELEMENTS
    tab.get("run-names").get_by_role("button").click()
    tab.await_path()
    names = tab.frame.locator(".snapshots li")
    expect(names).to_have_count(200)
    tab.get("more-names").get_by_role("button").click()
    expect(names).to_have_count(400)
    assert elements(tab) <= MAX_ELEMENTS


@pytest.mark.parametrize("run", DOUBLES)
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_curves_of_any_doubles_are_drawn(show: Show, sizes_url: str, run: str, scale: str) -> None:
    (other,) = set(DOUBLES) - {run}
    tab = show(sizes_url).open(hide=other, show=run, scale=scale).await_path()
    for chart in ("trace-chart", "dimension-chart"):
        drawn = tab.get(chart).locator("canvas")
        drawn.wait_for()
        assert tab.get(chart).evaluate(COUNT_COLOURED_PIXELS) >= CURVE_PIXELS
    tab.get("scale-linear").click()
    tab.get("smoothing").press("End")
    tab.get("trace-chart").locator(".plot").press("+")
    expect(tab.get("unzoom").first).to_be_visible()
    tab.get("trace-chart").locator(".plot").press("0")
    expect(tab.get("unzoom")).to_have_count(0)


def test_a_filter_from_a_link_does_not_stop_the_page(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url).open(filter="^filter/(a+)+$").await_path()
    expect(tab.frame.get_by_text("No runs match.")).to_be_visible()
    tab.get("run-filter").fill("^filter/(a+)+!$")
    expect(tab.frame.locator(".runs li")).to_have_count(1)
    tab.get("run-filter").fill("^(?!a)")
    expect(tab.get("filter-error")).to_contain_text("do not support")
    tab.get("run-filter").fill("CONSTRUCTOR")
    tab.frame.locator(".runs button").click()
    expect(tab.frame.get_by_text("· constructor")).to_be_visible()


def test_hidden_and_endless_letters_are_not_shown(show: Show, sizes_url: str) -> None:
    tab = show(sizes_url).open(run=LONG_RUN, tag=TAG, rows="runs").await_path()
    text = tab.frame.locator("html").inner_text()
    assert re.search("source\ufffdgnp", text)
    assert not re.search("[\u202a-\u202e\u200b\0\x1b]", text)
    # The name of the run, its reason and the classes are shortened.
    assert len(text) < 20_000
    assert max(map(len, text.split())) < 250
