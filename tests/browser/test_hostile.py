"""Hostile log directories run no script, and the page reports damaged data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser.leaf_tab import LeafTab
from tests.support.plugin.hostile_logs import (
    GOOD_TAG,
    SCRIPT_RUN,
    SCRIPTS,
    await_hostile_logs,
    write_hostile_logs,
)
from tests.support.tensorboard_process import tensorboard

EXECUTED_SCRIPTS = (
    "[window.leafMark, ...Array.from(frames, (frame) => frame.leafMark)].filter(Boolean)"
)


@pytest.fixture(scope="module")
def hostile_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    write_hostile_logs(folder)
    with tensorboard(folder, "--load_fast=false") as url:
        await_hostile_logs(url)
        yield url


def test_hostile_logs_run_no_script_and_are_reported(
    show: Callable[..., LeafTab], hostile_url: str
) -> None:
    tab = show(hostile_url)
    dialogs: list[str] = []

    def dismiss(dialog: object) -> None:
        dialogs.append(str(dialog))
        dialog.dismiss()  # type: ignore[attr-defined]

    tab.page.on("dialog", dismiss)
    tab.open(run=SCRIPT_RUN, tag=GOOD_TAG).await_path()
    for pair in range(3):
        tab.get(f"pair-{pair}").click()
        tab.await_path()
    damaged = tab.get("damaged")
    for name in ("content/random", "content/newer", "tensor/000000000200-", *SCRIPTS):
        expect(damaged).to_contain_text(name)
    expect(damaged).to_contain_text("upgrade")
    # Give scripts time to run. A slow machine cannot fail this test.
    tab.page.wait_for_timeout(300)
    assert tab.page.evaluate(EXECUTED_SCRIPTS) == []
    assert dialogs == []
    assert tab.errors == []


def test_executed_scripts_and_dialogs_are_detected(
    show: Callable[..., LeafTab], hostile_url: str
) -> None:
    tab = show(hostile_url)
    dialogs: list[str] = []
    tab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.open(run="a_good", tag=GOOD_TAG).await_path()
    tab.get("damaged").evaluate("() => { window.leafMark = 1; alert(1); }")
    assert tab.page.evaluate(EXECUTED_SCRIPTS) == [1]
    assert dialogs == ["1"]
