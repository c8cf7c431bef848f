"""The logs of the demo are shown in the LEAF tab of TensorBoard."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageStat
from playwright.sync_api import BrowserContext

from tests.support.browser.leaf_tab import LeafTab, missing
from tests.support.browser.pictures import DOCS, WIDTH, take_pictures
from tests.support.tensorboard_process import ask, await_snapshots, tensorboard


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a TensorBoard on the logs of a short demo."""
    logdir: Path = tmp_path_factory.mktemp("demo")
    subprocess.run(
        ["lightning-leaf", "demo", "--max-epochs=3", "--accelerator=cpu", f"--logdir={logdir}"],
        check=True,
        capture_output=True,
    )
    with tensorboard(logdir) as url:
        await_snapshots(url, 4)
        yield url


@pytest.mark.parametrize("name", ["horizontal_path", "noisy_start", "orthogonal_walk"])
def test_logs_of_the_demo_are_shown(show: Callable[..., LeafTab], demo: str, name: str) -> None:
    (run,) = ask(demo, "snapshots")["runs"]
    # The last snapshot: the curves of an untrained network overlap.
    tag = [item["tag"] for item in run["snapshots"] if item["name"] == name][-1]
    tab = show(demo).open(run=run["run"], tag=tag).await_path()
    assert missing(tab) == []
    assert tab.path()["classes"] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("sabotage", "part"),
    [
        ("[data-testid=frame]", "strip"),
        ("[data-testid=frame-label]", "label"),
        ("[data-testid=probability-chart] canvas", "curve"),
    ],
)
def test_missing_parts_are_reported(
    show: Callable[..., LeafTab], demo: str, sabotage: str, part: str
) -> None:
    tab = show(demo).open().await_path()
    tab.frame.locator(sabotage).first.evaluate("(element) => element.remove()")
    assert any(part in message for message in missing(tab))


def test_screenshots_of_the_documentation_are_taken(
    contexts: dict[bool, BrowserContext], demo: str, tmp_path: Path
) -> None:
    pictures = take_pictures(contexts[False], demo, tmp_path)
    assert {picture.name for picture in pictures} == {file.name for file in DOCS.glob("*.png")}
    for picture in pictures:
        assert picture.stat().st_size < 300_000
        with Image.open(picture) as image:
            brightness = ImageStat.Stat(image.convert("L").crop((0, 100, 100, 600))).mean[0]
            assert (brightness < 80) == ("dark" in picture.name)
            # The screenshot ends with the last part of the page, which has frames on its right.
            assert image.width == (WIDTH if "tab" in picture.name else 1020)
            assert np.asarray(image.convert("L"))[-80:, 400:].std() > 20


def test_normalization_of_the_demo_is_detected(demo: str) -> None:
    (run,) = ask(demo, "snapshots")["runs"]
    assert not any(item["scaled"] for item in run["snapshots"])
