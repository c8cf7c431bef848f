"""One path on the page: strip, labels, curves and cursor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE_RUN
from tests.support.browser.leaf_tab import LeafTab, missing, missing_curves, missing_in_strip

Show = Callable[..., LeafTab]


def test_path_is_shown_with_strip_labels_and_curves(tab: LeafTab) -> None:
    assert missing(tab) == []


@pytest.mark.parametrize(
    ("sabotage", "part"),
    [
        ("[data-testid=strip]", "strip: 0 frames"),
        ("[data-testid=frame]", "strip: 23 frames"),
        ("[data-testid=frame-label]", "label"),
        ("[data-testid=frame] canvas", "image"),
        ("[data-testid=probability-chart] canvas", "curve of class 4"),
        ("[data-testid=distance-chart] canvas", "curve of distance"),
        ("[data-testid=legend-entry]", "legend"),
        ("[data-testid=trace-chart] canvas", "curves of trace-chart"),
    ],
)
def test_missing_parts_are_reported(tab: LeafTab, sabotage: str, part: str) -> None:
    tab.frame.locator(sabotage).first.evaluate("(element) => element.remove()")
    assert any(part in message for message in missing(tab))


@pytest.mark.parametrize(
    ("run", "tag"),
    [
        ("colours", "horizontal_path/000000000100-"),
        ("signals", "horizontal_path/000000000100-"),
        ("digits/sgd", "orthogonal_walk/000000003000-"),
        (HOSTILE_RUN, "horizontal_path/000000000100-"),
    ],
)
def test_every_kind_of_path_is_shown(show: Show, url: str, run: str, tag: str) -> None:
    tab = show(url).open(run=run, tag=tag).await_path()
    assert tab.path()["frames"]["type"] == ("signal" if run == "signals" else "image")
    assert [*missing_in_strip(tab), *missing_curves(tab)] == []


@pytest.mark.parametrize(
    ("index", "status"),
    [
        (0, "reached after 480 steps · 0.95 of 9.50 left"),
        (1, "stalled after 500 steps · 0.95 of 9.50 left"),
        (2, "ran out of steps after 520 · 0.95 of 9.50 left"),
        (3, "non-finite after 540 steps · 0.95 of 9.50 left"),
    ],
)
def test_status_describes_how_the_path_ended(tab: LeafTab, index: int, status: str) -> None:
    tab.get(f"pair-{index}").click()
    expect(tab.get("status")).to_have_text(status)


def test_status_of_a_walk_contains_its_distance(show: Show, url: str) -> None:
    tab = show(url).open(run="digits/sgd", tag="orthogonal_walk/000000003000-").await_path()
    expect(tab.get("path-title")).to_have_text("Orthogonal walk from 4")
    expect(tab.get("status")).to_have_text("walked 480 steps · 7.00 from the start")
    expect(tab.get("large-destination")).to_have_count(0)


def test_hovering_a_curve_moves_the_frame(tab: LeafTab) -> None:
    last = tab.path()["frame_steps"][-1]
    for chart in ("probability-chart", "distance-chart"):
        over = tab.get(chart).locator(".u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        assert box is not None
        steps = []
        for share in (0.02, 0.5, 0.98):
            over.hover(position={"x": share * box["width"], "y": box["height"] / 2})
            tab.await_cursor(pytest.approx(share * last, abs=5))
            [step] = tab.current_frames()
            steps.append(step)
            assert abs(step - share * last) < last / 20
        assert steps == sorted(set(steps))


def test_hovering_a_frame_moves_curves_and_rows(show: Show, url: str) -> None:
    tab = show(url, height=1800).open(run="digits/sgd", tag="horizontal_path/000000003000-")
    tab.await_path()
    steps = tab.path()["frame_steps"]
    for position in (3, 17, 0):
        tab.get("frame").nth(position).hover()
        tab.await_current_frame(steps[position])
        tab.await_cursor(steps[position])
        expect(tab.get("large-current")).to_have_attribute("data-frame", str(position))
        column = round(position * 12 / 23)
        for row in tab.get("row").all():
            expect(row.get_by_test_id("row-frame").nth(column)).to_contain_class("current")
            expect(row.locator(".current")).to_have_count(1)


def test_scrubber_is_operated_by_keyboard(tab: LeafTab) -> None:
    steps = tab.path()["frame_steps"]
    scrubber = tab.get("scrubber")
    scrubber.press("Home")
    tab.await_current_frame(0)
    scrubber.press("ArrowRight")
    scrubber.press("ArrowRight")
    tab.await_current_frame(steps[2])
    scrubber.press("ArrowLeft")
    tab.await_cursor(steps[1])
    scrubber.press("Shift+ArrowRight")
    tab.await_cursor(steps[1] + 1)
    scrubber.press("End")
    tab.await_current_frame(steps[-1])
    expect(scrubber).to_have_attribute(
        "aria-valuetext",
        f"step 480 of 480, predicted 9, probability {tab.path()['frame_probabilities'][-1]:.2f}",
    )


def test_strip_is_operated_by_keyboard(tab: LeafTab) -> None:
    steps = tab.path()["frame_steps"]
    tab.get("frame").first.click()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    tab.await_current_frame(steps[2])
    expect(tab.frame.locator("[data-testid=frame]:focus")).to_have_attribute(
        "data-step", str(steps[2])
    )


def test_play_moves_to_the_end(tab: LeafTab) -> None:
    tab.get("frame").nth(-2).click()
    assert tab.current_frames() != [480]
    tab.get("play").click()
    tab.await_current_frame(480)
    expect(tab.get("play")).to_contain_text("play")


def test_legend_toggles_a_curve(tab: LeafTab) -> None:
    entry = tab.legend("9")
    pixels = tab.curve_pixels("probability-chart", entry)
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    tab.await_value(lambda: tab.curve_pixels("probability-chart", entry) < pixels / 10, True)
    entry.click()
    tab.await_value(lambda: tab.curve_pixels("probability-chart", entry), pixels)


def test_legend_shows_the_probability_at_the_cursor(tab: LeafTab) -> None:
    path = tab.path()
    for end, key in ((0, "Home"), (-1, "End")):
        tab.get("scrubber").press(key)
        for name, values in zip(path["classes"], path["probabilities"], strict=True):
            expect(tab.legend(name)).to_contain_text(f"{values[end]:.2f}")


def test_enlarged_pixels_stay_sharp(tab: LeafTab) -> None:
    canvas = tab.get("large-current").locator("canvas")
    assert canvas.evaluate("(c) => [c.width, c.height]") == [28, 28]
    assert canvas.evaluate("(c) => c.clientWidth") > 100
    assert canvas.evaluate("(c) => getComputedStyle(c).imageRendering") == "pixelated"


def test_difference_to_the_source_is_zero_at_the_source(tab: LeafTab) -> None:
    colours = """(figure) => {
      const canvas = figure.querySelector("canvas");
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }"""
    tab.get("scrubber").press("Home")
    tab.await_value(lambda: tab.get("large-change").evaluate(colours), 1)
    assert tab.get("large-remaining").evaluate(colours) > 1
    tab.get("scrubber").press("End")
    tab.await_value(lambda: tab.get("large-change").evaluate(colours) > 1, True)


def test_independent_labels_are_shown_without_one_probability(
    show: Show, url: str, tab: LeafTab
) -> None:
    expect(tab.get("frame-note")).to_have_count(0)  # Negative control, as the chart below.
    expect(tab.get("probability-chart")).to_contain_text("Class probabilities along the path")
    labels = show(url).open(run="colours", tag="labels/000000000100-").await_path()
    expect(labels.get("status")).to_have_text("ran out of time after 480 steps · 0.95 of 9.50 left")
    expect(labels.get("frame-label").first).to_have_text("cat, cow")
    expect(labels.get("frame-label").last).to_have_text("no label above ½")
    expect(labels.get("frame-note")).to_contain_text("9 of 16 slices along axis 0")
    chart = labels.get("probability-chart")
    expect(chart).to_contain_text("Label probabilities along the path")
    expect(chart).to_contain_text("independent labels")
    expect(chart.get_by_role("group", name="Labels shown")).to_be_visible()
    expect(labels.get("facts")).to_contain_text("entropy of all labels")
    expect(labels.get("scrubber")).to_have_attribute(
        "aria-valuetext", "step 250 of 480, predicted no label above ½"
    )


def test_scaling_of_images_is_reported(show: Show, url: str, tab: LeafTab) -> None:
    expect(tab.get("scaled")).to_have_count(0)
    scaled = show(url).open(run=HOSTILE_RUN, tag="horizontal_path/000000000100-").await_path()
    expect(scaled.get("scaled")).to_contain_text("normalization of the inputs is unknown")


def test_names_from_logs_are_shown_as_text(show: Show, url: str) -> None:
    tab = show(url).open(run=HOSTILE_RUN, tag="horizontal_path/000000000100-").await_path()
    expect(tab.get("path-title")).to_have_text('Horizontal path <b>bold</b> → "><img src=x>')
    expect(tab.get(f"run-{HOSTILE_RUN}")).to_contain_text("<img src=x onerror=alert(1)>")
    assert tab.frame.locator("img, b, body script").count() == 0
