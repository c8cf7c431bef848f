"""Prediction paths: what they say, how far each class is, and the change over training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.test_states import overlapping
from tests.support.browser.leaf_tab import LeafTab, missing_curves, missing_in_strip
from tests.support.plugin import synthetic

Show = Callable[..., LeafTab]

TAG = "prediction_path/000000003000-"


@pytest.fixture
def prediction(show: Show, url: str) -> LeafTab:
    return show(url).open(run="predictions", tag=TAG).await_path()


def test_a_prediction_path_says_what_it_is_and_what_came_of_it(
    prediction: LeafTab, tab: LeafTab
) -> None:
    expect(prediction.get("path-title")).to_have_text("Prediction path 4 → 9")
    explanation = prediction.get("explanation")
    expect(explanation).to_contain_text("A change of the image")
    expect(explanation).to_contain_text("makes the model as sure of 9 as it was of 4.")
    verdict = prediction.get("verdict")
    expect(verdict).to_have_class("verdict good")
    expect(verdict).to_contain_text("Now read as 9 at 0.98 · changed by 4.17 (Euclidean)")
    judgement = prediction.get("judgement")
    expect(judgement).to_have_class("verdict partial")
    expect(judgement).to_contain_text("Another network says: 4 at 0.91.")
    expect(prediction.get("large-end")).to_contain_text("end: read as 9 at 0.98")
    first, *_, last = synthetic.path(kind="prediction").frames.astype(int)
    largest = f"{np.abs(last - first).max() / 255:.2g}"
    for word in ("darker", "brighter"):
        expect(prediction.get("colour-bar")).to_contain_text(f"{word} by {largest}")
    expect(prediction.get("one-scale")).to_contain_text("share one scale")
    expect(prediction.get("distance-chart")).to_contain_text("Fisher–Rao distance to the target")
    assert missing_in_strip(prediction) == []
    assert missing_curves(prediction) == []
    # Negative control: a horizontal path has none of this.
    for name in ("explanation", "verdict", "colour-bar", "targets", "change-chart"):
        expect(tab.get(name)).to_have_count(0)


def test_bars_open_the_path_to_each_class(prediction: LeafTab) -> None:
    targets = prediction.get("target")
    assert [bar.get_attribute("data-target") for bar in targets.all()] == ["1", "9", "0", "2"]
    lengths = [
        bar.locator(".bar > *").evaluate("(bar) => bar.clientWidth") for bar in targets.all()
    ]
    assert lengths[0] < lengths[1] > lengths[3] > lengths[2]
    expect(targets.nth(1)).to_have_attribute("aria-current", "true")
    expect(targets.nth(1)).to_contain_text("another network: 4")
    expect(targets.nth(3)).to_contain_text("3 · blocked: valid range")
    targets.nth(3).press("Enter")
    expect(prediction.get("path-title")).to_have_text("Prediction path 4 → 2")
    verdict = prediction.await_path().get("verdict")
    expect(verdict).to_have_class("verdict partial")
    expect(verdict).to_contain_text("Blocked: only values outside of the valid range")
    expect(prediction.get("judgement")).to_have_count(0)
    name, content = prediction.save("targets", "Changes as CSV")
    assert name == "leaf_predictions_prediction_path_step-3000_4_targets.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["target"] for row in rows] == ["1", "9", "0", "2"]
    assert rows[3]["blocked_by"] == "domain"
    _, picture = prediction.save("targets", "Chart as PNG")
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(picture)).convert("L")))) > 10


def test_points_of_the_change_over_training_open_their_moment(prediction: LeafTab) -> None:
    points = prediction.get("change-chart").get_by_test_id("point")
    expect(points).to_have_count(3)
    expect(points.nth(2)).to_have_attribute("aria-current", "true")
    expect(points.nth(0)).to_have_attribute("aria-label", "step 500: changed by 25")
    heights = [point.evaluate("(point) => point.offsetTop") for point in points.all()]
    assert heights == sorted(heights)
    points.nth(0).click()
    expect(prediction.get("path")).to_have_attribute("data-tag", synthetic_tag(500))
    expect(points.nth(0)).to_have_attribute("aria-current", "true")
    _, content = prediction.save("change-chart", "Changes as CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["optimizer_step"] for row in rows] == ["500", "1500", "3000"]


def synthetic_tag(step: int) -> str:
    return f"prediction_path/{step:012d}-{synthetic.FIRST_SESSION}"


def test_the_view_of_a_prediction_path_fits_a_narrow_window(prediction: LeafTab) -> None:
    prediction.page.set_viewport_size({"width": 768, "height": 1000})
    prediction.await_animation_frames()
    html = prediction.frame.locator("html")
    assert html.evaluate("(html) => html.scrollWidth - innerWidth") == 0
    assert overlapping(prediction.frame.locator(".card").all()) == []
    pictures = [prediction.get(f"large-{name}") for name in ("source", "end", "change")]
    assert overlapping(pictures) == []
    tops = {box["y"] for picture in pictures if (box := picture.bounding_box())}
    assert len(tops) == 1
