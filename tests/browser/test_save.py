"""Saved files: pictures, animations and tables, and their content."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE_RUN
from tests.browser.test_zoom import PATH_CHARTS
from tests.support.browser.leaf_tab import CURVE_PIXELS, TRAINING_CHARTS, LeafTab
from tests.support.tensorboard_process import ask

Show = Callable[..., LeafTab]
Pixels = npt.NDArray[np.uint8]

HORIZONTAL = "horizontal_path/000000000100-"
DIGITS = "leaf_digits-sgd_horizontal_path_step-3000_4-to-9"
SURFACE = {"light": (255, 255, 255), "dark": (41, 42, 45)}


def image(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("RGB"))  # (H, W, 3)


def sheet(tab: LeafTab) -> list[Pixels]:
    """Return the frames of the open path from the plugin, the destination last."""
    opened = tab.get("path")
    key = {name: opened.get_attribute(f"data-{name}") for name in ("run", "tag", "index")}
    with urllib.request.urlopen(f"{tab.url}data/plugin/leaf/frames?{urlencode(key)}") as response:
        pixels = image(response.read())
    frames = tab.path()["frames"]
    height, width = frames["height"], frames["width"]
    positions = [
        divmod(i, frames["columns"]) for i in range(frames["count"] + frames["destination"])
    ]
    return [
        pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row, column in positions
    ]


def enlarged(pixels: Pixels, times: int) -> Pixels:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def tiles(picture: Pixels, height: int, width: int, frames: int) -> list[Pixels]:
    """Return source, frames (in lines of twelve) and destination of a strip."""
    margin, header, caption, gap, wide_gap = 32, 148, 72, 12, 44
    lefts = [margin + width + wide_gap + (width + gap) * column for column in range(12)]
    positions = [(header, margin)]
    positions += [(header + (height + caption) * (i // 12), lefts[i % 12]) for i in range(frames)]
    positions += [(header, lefts[min(frames, 12) - 1] + width + wide_gap)]
    return [picture[top : top + height, left : left + width] for top, left in positions]


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))


def number(text: str) -> float | None:
    return float(text) if text else None


def count_colour(picture: Pixels, css: str) -> int:
    """Count the pixels whose colour is close to one in the form rgb(…)."""
    colour = [int(part) for part in css.removeprefix("rgb(").removesuffix(")").split(",")]
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 16).sum())


@pytest.mark.parametrize(
    ("run", "tag", "times"),
    [("digits/sgd", "horizontal_path/000000003000-", 5), ("colours", HORIZONTAL, 3)],
)
def test_strip_contains_the_pixels_of_all_frames(
    show: Show, url: str, run: str, tag: str, times: int
) -> None:
    tab = show(url).open(run=run, tag=tag).await_path()
    name, content = tab.save("path", "Strip as PNG")
    assert name.startswith(f"leaf_{run.replace('/', '-')}_horizontal_path_step-")
    assert name.endswith("_4-to-9_strip.png")
    picture = image(content)
    frames = [enlarged(frame, times) for frame in sheet(tab)]
    height, width = frames[0].shape[:2]
    drawn = tiles(picture, height, width, frames=24)
    for tile, frame in zip(drawn, [frames[0], *frames], strict=True):
        np.testing.assert_array_equal(tile, frame)
    assert not np.array_equal(drawn[1], frames[-1])
    # Margins, and text around the tiles.
    assert tuple(picture[0, 0]) == tuple(picture[-1, -1]) == SURFACE["light"]
    assert picture.shape[1] == 32 + 2 * (width + 44) + 12 * (width + 12) - 12 + 32
    for top, bottom in ((20, 148), (148 + height, 148 + height + 60)):
        assert (picture[top:bottom].max(axis=2) < 100).sum() > 200


def test_strip_of_a_walk_has_no_destination(show: Show, url: str) -> None:
    tab = show(url).open(run="digits/sgd", tag="orthogonal_walk/000000003000-").await_path()
    name, content = tab.save("path", "Strip as PNG")
    assert name == "leaf_digits-sgd_orthogonal_walk_step-3000_4-no.-1004_strip.png"
    assert image(content).shape[1] == 32 + 184 + 12 * 152 - 12 + 32


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_saved_in_the_colours_of_the_page(tab: LeafTab, theme: str) -> None:
    if theme == "dark":
        tab.choose_dark_mode()
    read = "(swatch) => getComputedStyle(swatch).background.match(/rgb\\([^)]*\\)/)[0]"
    run = tab.get("run-digits/sgd").locator(".dot").evaluate(read)
    for chart in (*TRAINING_CHARTS, *PATH_CHARTS):
        name, content = tab.save(chart, "Chart as PNG")
        assert name == f"{DIGITS if chart in PATH_CHARTS else 'leaf_6-runs'}_{chart}.png"
        picture = image(content)
        height, width = picture.shape[:2]
        assert width == 2 * (720 + 32)
        assert height > 2 * (280 + 32)
        assert tuple(picture[0, 0]) == SURFACE[theme]
        # Curves, and the legend below them.
        plot, legend = picture[100:600], picture[-80:]
        if chart in TRAINING_CHARTS:
            colours = [run]
        else:
            swatches = tab.get(chart).locator(".legend-entry:not(.faint) .swatch").all()
            colours = [swatch.evaluate(read) for swatch in swatches]
        assert colours
        for colour in colours:
            assert count_colour(plot, colour) > CURVE_PIXELS
            assert count_colour(legend, colour) > CURVE_PIXELS


def test_strip_is_dark_in_dark_mode(tab: LeafTab) -> None:
    tab.choose_dark_mode()
    _, content = tab.save("path", "Strip as PNG")
    assert tuple(image(content)[0, 0]) == SURFACE["dark"]


@pytest.mark.parametrize(
    ("run", "tag"),
    [
        ("digits/sgd", "horizontal_path/000000003000-"),
        ("digits/sgd", "orthogonal_walk/000000003000-"),
        ("signals", HORIZONTAL),
        (HOSTILE_RUN, HORIZONTAL),
    ],
)
def test_tables_of_a_path_contain_the_data_of_the_plugin(
    show: Show, url: str, run: str, tag: str
) -> None:
    tab = show(url).open(run=run, tag=tag).await_path()
    path = tab.path()
    columns = {
        "step": path["curve_steps"],
        **{
            f"p({name})": values
            for name, values in zip(path["classes"], path["probabilities"], strict=True)
        },
        **{
            name: path[name]
            for name in ("distance", "horizontality", "fisher_rao_length", "entropy")
        },
    }
    name, content = tab.save("path", "Curves as CSV")
    assert name.endswith("_curves.csv")
    header, *rows = table(content)
    assert header == list(columns)
    assert [[number(text) for text in row] for row in rows] == [
        list(row) for row in zip(*columns.values(), strict=True)
    ]
    assert tab.save("probability-chart", "Curves as CSV") == (name, content)

    name, content = tab.save("path", "Curves as JSON")
    assert name.endswith("_curves.json")
    saved = json.loads(content)
    assert saved["run"] == run
    assert saved["tag"] == tab.get("path").get_attribute("data-tag")
    assert saved["step"] == int(saved["tag"].split("/")[1].split("-")[0])
    shown = zip(path["classes"], path["probabilities"], strict=True)
    assert saved["probabilities"] == [{"class": name, "values": values} for name, values in shown]
    same = set(path) - {"classes", "probabilities", "frames"}
    assert {"status", "threshold", "source", "frame_steps", "frame_labels"} < same
    assert {name: saved[name] for name in same} == {name: path[name] for name in same}


def test_table_of_training_contains_the_drawn_runs(tab: LeafTab) -> None:
    name, content = tab.save("rank-chart", "Training curves as CSV")
    assert name == "leaf_6-runs_training.csv"
    assert {row[0] for row in table(content)[1:]} == {"digits/adam", "digits/sgd"}

    for run in ("digits/adam", "colours", "signals", "predictions", HOSTILE_RUN):
        tab.get(f"run-{run}").get_by_role("checkbox").uncheck()
    tab.get("smoothing").fill("0.9")
    name, content = tab.save("trace-chart", "Training curves as CSV")
    assert name == "leaf_digits-sgd_training.csv"
    header, *rows = table(content)
    assert header == ["run", "tag", "step", "value"]
    tags = sorted({row[1] for row in rows})
    assert len(tags) >= 5
    for tag in tags:
        scalar: dict[str, Any] = ask(
            tab.url, f"scalars?{urlencode({'run': name_of(rows), 'tag': tag})}"
        )
        saved = [(int(step), number(value)) for _, other, step, value in rows if other == tag]
        assert saved == list(zip(scalar["steps"], scalar["values"], strict=True))


def name_of(rows: list[list[str]]) -> str:
    [run] = {row[0] for row in rows}
    return run


@pytest.mark.parametrize(
    ("run", "tag", "times"),
    [("digits/sgd", "horizontal_path/000000003000-", 10), ("colours", HORIZONTAL, 6)],
)
def test_animation_contains_all_frames(
    show: Show, url: str, run: str, tag: str, times: int
) -> None:
    tab = show(url).open(run=run, tag=tag).await_path()
    name, content = tab.save("path", "Animation as GIF")
    assert name.startswith(f"leaf_{run.replace('/', '-')}_horizontal_path_step-")
    assert name.endswith("_4-to-9.gif")
    frames = [enlarged(frame, times).astype(int) for frame in sheet(tab)][:-1]
    height, width = frames[0].shape[:2]
    with Image.open(io.BytesIO(content)) as gif:
        assert (gif.format, gif.size) == ("GIF", (width, height + 48))
        assert gif.n_frames == len(frames)
        assert gif.info["loop"] == 0
        for i, frame in enumerate(frames):
            gif.seek(i)
            assert gif.info["duration"] == (160 if i < len(frames) - 1 else 1200)
            pixels = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(pixels[:height] - frame).max() <= 12
            assert np.abs(pixels[:height] - frames[-1 - i]).max() > 12
            caption = pixels[height:]
            assert (caption.min(axis=2) < 120).sum() > 100


def test_signals_are_drawn_as_lines(show: Show, url: str) -> None:
    tab = show(url).open(run="signals", tag=HORIZONTAL).await_path()
    _, content = tab.save("path", "Animation as GIF")
    with Image.open(io.BytesIO(content)) as gif:
        assert gif.n_frames == 24
        assert gif.size == (280, 233 + 48)
        line = "rgb(213, 94, 0)"
        assert count_colour(np.asarray(gif.convert("RGB")), line) > 200
    _, content = tab.save("path", "Strip as PNG")
    assert all(
        count_colour(tile, line) > 100 for tile in tiles(image(content), 120, 144, frames=24)
    )


def test_pictures_of_a_zoomed_path_show_its_range(show: Show, url: str) -> None:
    view = {"run": "digits/sgd", "tag": "horizontal_path/000000003000-", "path-steps": "120-240"}
    tab = show(url).open(**view).await_path()
    shown = [i for i, step in enumerate(tab.path()["frame_steps"]) if 120 <= step <= 240]
    _, content = tab.save("path", "Strip as PNG")
    frames = [enlarged(frame, 5) for frame in sheet(tab)]
    expected = [frames[0], *(frames[i] for i in shown), frames[-1]]
    drawn = tiles(image(content), 140, 140, frames=len(shown))
    for tile, frame in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(tile, frame)
    _, content = tab.save("path", "Animation as GIF")
    with Image.open(io.BytesIO(content)) as gif:
        assert gif.n_frames == len(shown)
    _, content = tab.save("path", "Curves as CSV")
    assert len(table(content)) == 1 + len(tab.path()["curve_steps"])


def test_menu_is_named_and_operated_by_keyboard(tab: LeafTab) -> None:
    names = ["Save this path", "Save the chart Effective rank"]
    for part, name in zip(("path", "rank-chart"), names, strict=True):
        button = tab.get(part).get_by_role("button", name=name)
        expect(button).to_have_attribute("aria-expanded", "false")
        button.focus()
        tab.page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-expanded", "true")
        items = tab.get(part).get_by_role("menu", name=name).get_by_role("menuitem")
        expect(items.first).to_be_focused()
        tab.page.keyboard.press("ArrowDown")
        expect(items.nth(1)).to_be_focused()
        tab.page.keyboard.press("End")
        tab.page.keyboard.press("ArrowDown")
        expect(items.first).to_be_focused()
        tab.page.keyboard.press("Escape")
        expect(items).to_have_count(0)
        expect(button).to_be_focused()
        tab.page.keyboard.press("Enter")
        expect(items.first).to_be_focused()
        with tab.page.expect_download() as download:
            tab.page.keyboard.press("Enter")
        assert download.value.suggested_filename.endswith(".png")
        expect(button).to_be_focused()
        button.click()
        tab.get("path-title").click()
        expect(items).to_have_count(0)


def test_failed_save_is_reported(tab: LeafTab) -> None:
    tab.frame.locator("body").evaluate(
        "() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }"
    )
    tab.get("path").get_by_test_id("save").click()
    tab.get("path").get_by_role("menuitem", name="Strip as PNG").click()
    expect(tab.get("path").get_by_test_id("save-status")).to_contain_text("was not saved")
