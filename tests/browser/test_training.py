"""Training on the page: curves of runs, markers of snapshots, one path over training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tensorboard_plugin_leaf import write

from tests.support.browser.leaf_tab import COUNT_PIXELS, TRAINING_CHARTS, LeafTab, missing_training
from tests.support.browser.training_curves import write_training_curves
from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import await_snapshots, tensorboard

Show = Callable[..., LeafTab]


def count_pixels(tab: LeafTab, run: str) -> int:
    """Count the pixels of the trace chart in the colour of a run."""
    colour = tab.get(f"run-{run}").locator(".dot").evaluate("(dot) => dot.style.background")
    count: int = tab.get("trace-chart").evaluate(COUNT_PIXELS, colour)
    return count


@pytest.mark.parametrize("run", ["digits/sgd", "digits/adam"])
def test_runs_are_drawn_in_their_colours_while_they_are_checked(tab: LeafTab, run: str) -> None:
    assert missing_training(tab) == []
    pixels = count_pixels(tab, run)
    assert pixels > 100
    box = tab.get(f"run-{run}").get_by_role("checkbox")
    box.uncheck()
    tab.await_value(lambda: count_pixels(tab, run) < pixels / 10, True)
    box.check()
    tab.await_value(lambda: count_pixels(tab, run), pixels)


def test_charts_have_textual_descriptions(tab: LeafTab) -> None:
    for chart, curve in zip(TRAINING_CHARTS, ("median", "entropy", "dimension"), strict=True):
        label = tab.get(chart).get_attribute("aria-label") or ""
        assert f"digits/sgd · {curve} from" in label
        assert "over optimizer steps" in label


def test_tooltip_shows_the_values_of_runs_at_the_step(tab: LeafTab) -> None:
    over = tab.get("rank-chart").locator(".u-over")
    tooltip = tab.get("rank-chart").get_by_test_id("tooltip")
    expect(tooltip).to_be_hidden()
    over.hover(position={"x": 0.2, "y": 40})
    expect(tooltip).to_contain_text("optimizer step 0")
    expect(tooltip).to_contain_text("digits/sgd · entropy 8")
    expect(tooltip).to_contain_text("digits/adam · entropy 8")
    box = over.bounding_box()
    assert box is not None
    over.hover(position={"x": box["width"] - 2, "y": 40})
    expect(tooltip).to_contain_text("digits/sgd · entropy 2")
    expect(tooltip).not_to_contain_text("digits/adam")


def test_marker_opens_the_snapshot(tab: LeafTab) -> None:
    marker = tab.frame.locator("[data-testid=snapshot-marker][data-step='500']").first
    marker.click()
    expect(tab.get("path")).to_contain_text("step 500")
    expect(marker).to_have_attribute("aria-current", "true")
    expect(tab.frame.locator("[data-testid=snapshot-marker][aria-current]")).to_have_count(1)


def test_marker_keeps_the_pair(tab: LeafTab) -> None:
    tab.get("pair-2").click()
    title = tab.get("path-title").inner_text()
    marker = tab.frame.locator("[data-testid=snapshot-marker][data-run='digits/adam']").first
    marker.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.get("path")).to_contain_text("digits/adam")
    expect(tab.get("path-title")).to_have_text(title)


def test_drop_down_shows_the_open_snapshot_of_every_run(tab: LeafTab) -> None:
    tab.get("snapshot-step").select_option(label="step 1\u202f500")
    for run in ("digits/adam", "digits/sgd"):
        marker = tab.frame.locator(f"[data-testid=snapshot-marker][data-run='{run}']").first
        step = marker.get_attribute("data-step")
        marker.focus()
        tab.page.keyboard.press("Enter")
        expect(tab.get("path")).to_contain_text(run)
        label = tab.get("snapshot-step").locator("option:checked")
        expect(label).to_have_text(f"step {int(step or -1):,}".replace(",", "\u202f"))


def test_snapshots_are_selected_by_name_and_step(tab: LeafTab) -> None:
    expect(tab.get("snapshot-horizontal_path")).to_contain_text("· 3")
    tab.get("snapshot-step").select_option(label="step 1\u202f500")
    expect(tab.get("path")).to_contain_text("step 1\u202f500")
    tab.get("snapshot-orthogonal_walk").click()
    expect(tab.get("path-title")).to_contain_text("Orthogonal walk")


def test_smoothing_and_scale_change_the_curves(tab: LeafTab) -> None:
    def picture() -> str:
        drawn: str = tab.get("trace-chart").locator("canvas").evaluate("(c) => c.toDataURL()")
        return drawn

    log = picture()
    tab.get("scale-linear").check()
    tab.await_value(lambda: picture() != log, True)
    linear = picture()
    tab.get("smoothing").fill("0.9")
    tab.await_value(lambda: picture() not in (log, linear), True)
    tab.get("smoothing").fill("0")
    tab.get("scale-log").check()
    tab.await_value(picture, log)


def test_filter_lists_the_runs_that_match(tab: LeafTab) -> None:
    runs = tab.frame.locator("[data-testid^='run-digits']")
    tab.get("run-filter").fill("sgd|COLOURS")
    expect(runs).to_have_count(1)
    expect(tab.get("run-colours")).to_be_visible()
    tab.get("run-filter").fill("(")
    expect(tab.get("run-filter")).to_have_attribute("aria-invalid", "true")
    expect(runs).to_have_count(2)


def test_rows_show_the_path_over_training_and_open_it(tab: LeafTab) -> None:
    rows = tab.get("row")
    expect(rows).to_have_count(3)
    for row in rows.all():
        row.scroll_into_view_if_needed()
        expect(row.get_by_test_id("row-frame")).to_have_count(13)
    rows.nth(1).get_by_role("button").click()
    expect(tab.get("path")).to_contain_text("step 1\u202f500")
    tab.get("tab-pairs").click()
    expect(rows).to_have_count(4)
    tab.get("tab-runs").click()
    expect(rows).to_have_count(4)
    tab.get("run-colours").get_by_role("checkbox").uncheck()
    expect(rows).to_have_count(3)


def test_url_restores_the_view(tab: LeafTab, show: Show) -> None:
    tab.get("pair-3").click()
    tab.get("scale-linear").check()
    title = tab.get("path-title").inner_text()
    tab.page.wait_for_function("location.hash.includes('scale=linear')")
    other = show(tab.url)
    other.page.goto(tab.page.url)
    for opened in (tab, other):
        opened.page.reload()
        opened.await_path()
        expect(opened.get("path-title")).to_have_text(title)
        expect(opened.get("scale-linear")).to_be_checked()


def test_reload_shows_new_data_and_keeps_the_view(show: Show, tmp_path: Path) -> None:
    log = LogDirectory(tmp_path)
    with log.run("run") as writer:
        write_training_curves(writer, steps=1000)
        write(writer, synthetic.snapshot(1000))
    with tensorboard(tmp_path, "--reload_interval=1") as url:
        await_snapshots(url, 1)
        tab = show(url).open().await_path()
        tab.get("frame").nth(5).click()
        with log.run("run2") as writer:
            write(writer, synthetic.snapshot(2000))
        await_snapshots(url, 2)
        expect(tab.get("run-run2")).to_have_count(0)
        tab.page.locator("app-header-reload button").first.click()
        expect(tab.get("run-run2")).to_be_visible()
        expect(tab.get("path")).to_contain_text("step 1\u202f000")
        tab.await_current_frame(tab.path()["frame_steps"][5])
