"""Fixtures: a browser, TensorBoard with synthetic logs, and the LEAF tab."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect
from tensorboard_plugin_leaf import Snapshot, write

from tests.support.browser.chromium import NOT_FOUND, chromium, started_with_cache
from tests.support.browser.leaf_tab import TIMEOUT_SECONDS, LeafTab
from tests.support.browser.training_curves import write_training_curves
from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import await_snapshots, tensorboard

expect.set_options(timeout=1000 * TIMEOUT_SECONDS)

HOSTILE_RUN = "<img src=x onerror=alert(1)>/ünï code"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test for a missing dependency; fail if `LEAF_REQUIRE_BROWSER` is 1."""
    if os.environ.get("LEAF_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, BrowserContext]]:
    """Browser contexts without and with touch."""
    path = chromium()
    if path is None:
        skip_or_fail(NOT_FOUND)
    with started_with_cache(path, tmp_path_factory.mktemp("profiles")) as opened:
        yield opened


@pytest.fixture(scope="session")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with several snapshots; one run each with colour images, signals, hostile names.

    A run of prediction paths is the oldest one.
    The run of colour images also has a snapshot of independent labels.
    """
    log = LogDirectory(tmp_path_factory.mktemp("logs"))
    with log.run("predictions") as writer:
        for step in (500, 1500, 3000):
            write(writer, prediction_snapshot(step))
    with log.run("digits/sgd") as writer:
        write_training_curves(writer)
        for step in (500, 1500, 3000):
            write(writer, synthetic.snapshot(step, paths=4))
        write(writer, synthetic.snapshot(3000, kind="orthogonal"))
    with log.run("digits/adam") as writer:
        write_training_curves(writer, initial=0.02, steps=2000)
        for step in (500, 2000):
            write(writer, synthetic.snapshot(step, paths=4))
    with log.run("colours") as writer:
        write(writer, synthetic.snapshot(100, shape=(32, 48, 3)))
        write(writer, labels_snapshot())
    with log.run("signals") as writer:
        write(writer, synthetic.snapshot(100, shape=(2, 64)))
    with log.run(HOSTILE_RUN) as writer:
        write(writer, hostile_snapshot())
    return log.path


def prediction_snapshot(step: int) -> Snapshot:
    """Return four prediction paths, two blocked, that change less at later steps."""
    snapshot = synthetic.snapshot(step, kind="prediction", paths=4)
    judged = ("4", "", "1", "")  # Another network disagrees about 9, and agrees about 1.
    paths = tuple(
        dataclasses.replace(
            path,
            change=path.change * 1000 / step,
            judged=name,
            judged_probability=0.91 if name else np.nan,
        )
        for path, name in zip(snapshot.paths, judged, strict=True)
    )
    return dataclasses.replace(snapshot, paths=paths)


def labels_snapshot() -> Snapshot:
    """Return a snapshot of independent labels, whose frames are slices and whose time ran out."""
    path = synthetic.path(classes=3, source=1, destination=2, status="out_of_time")
    count = len(path.frame_steps)
    labels = dataclasses.replace(
        path,
        source="cat",
        destination="dog",
        classes=("cat", "dog", "cow"),
        probabilities=path.probabilities + np.float32(0.3) * (1 - path.probabilities),
        frame_labels=("cat, cow",) * (count // 2) + ("no label above ½",) * (count - count // 2),
        frame_probabilities=np.full(count, np.nan, np.float32),
    )
    note = "Each image shows 9 of 16 slices along axis 0 of an input of shape (16, 3, 28, 28)."
    return dataclasses.replace(
        synthetic.snapshot(100, name="labels"),
        paths=(labels,),
        likelihood="bernoulli",
        frame_note=note,
    )


def hostile_snapshot() -> Snapshot:
    """Return a snapshot with scripts and formulas as names and unknown normalization."""
    path = synthetic.path(classes=3, source=1, destination=2)
    names = {"0": '=1,"<script>alert(0)</script>"', "1": "<b>bold</b>", "2": '"><img src=x>'}
    renamed = dataclasses.replace(
        path,
        source=names["1"],
        destination=names["2"],
        classes=tuple(names[name] for name in path.classes),
        frame_labels=tuple(names[label] for label in path.frame_labels),
    )
    return dataclasses.replace(synthetic.snapshot(100), paths=(renamed,), scaled=True)


@pytest.fixture(scope="session")
def url(logdir: Path) -> Iterator[str]:
    with tensorboard(logdir) as address:
        await_snapshots(address, 13)
        yield address


@pytest.fixture
def show(contexts: dict[bool, BrowserContext]) -> Iterator[Callable[..., LeafTab]]:
    """A factory of tabs in separate pages, which must report no errors."""
    tabs: list[LeafTab] = []

    def make(
        url: str,
        width: int = 1280,
        height: int = 1000,
        *,
        touch: bool = False,
        kind: type[LeafTab] = LeafTab,
    ) -> LeafTab:
        page = contexts[touch].new_page()
        page.set_viewport_size({"width": width, "height": height})
        tabs.append(kind(page, url))
        return tabs[-1]

    yield make
    errors = [error for tab in tabs for error in tab.errors]
    for tab in tabs:
        tab.page.close()
    assert errors == []


@pytest.fixture
def tab(show: Callable[..., LeafTab], url: str) -> LeafTab:
    """The tab on the synthetic logs with a path of the run `digits/sgd`."""
    return show(url).open(run="digits/sgd", tag="horizontal_path/000000003000-").await_path()
