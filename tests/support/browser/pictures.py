"""Takes the screenshots of the documentation: the LEAF tab in TensorBoard, light and dark.

    python -m tests.support.browser.pictures [LOGDIR]

LOGDIR contains the logs of `lightning-leaf demo --data mnist --data-dir DIR --logdir LOGDIR`.
Without it, the demo is run on its built-in digits first. The screenshots are written to `docs`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator

from tests.support.browser.chromium import NOT_FOUND, chromium, started
from tests.support.browser.leaf_tab import IS_PAINTED, LeafTab
from tests.support.tensorboard_process import await_snapshots, tensorboard

DOCS = Path(__file__).parents[3] / "docs"
WIDTH = 1280
TALL = 2000


def take_pictures(browser: Browser | BrowserContext, url: str, folder: Path) -> list[Path]:
    """Take screenshots of the whole tab in its initial view, and of all pairs of its snapshot."""
    pictures = []
    for mode in ("light", "dark"):
        ending = "-dark.png" if mode == "dark" else ".png"
        page = browser.new_page()
        tab = LeafTab(page, url).open().await_path()
        if mode == "dark":
            tab.choose_dark_mode()
        fit_height(tab, tab.get("rows"))
        pictures.append(folder / f"leaf-tab{ending}")
        page.screenshot(path=pictures[-1])
        tab.get("tab-pairs").click()
        fit_height(tab, tab.get("rows"))
        pictures.append(folder / f"leaf-pairs{ending}")
        tab.get("rows").screenshot(path=pictures[-1])
        if tab.errors:
            raise RuntimeError(f"The browser reported errors: {tab.errors}")
        page.close()
    return pictures


def fit_height(tab: LeafTab, last: Locator) -> None:
    """Set the height of the window to that of the page, and wait until the page is painted."""
    # Rows are drawn only in view.
    tab.page.set_viewport_size({"width": WIDTH, "height": TALL})
    for row in tab.get("row").all():
        row.get_by_test_id("row-frame").last.wait_for()
    box = last.bounding_box()
    assert box is not None
    margin = 14
    height = round(box["y"] + box["height"]) + margin
    tab.page.set_viewport_size({"width": WIDTH, "height": height})
    # Keep the pointer away from elements that react to it.
    tab.page.mouse.move(0, 0)
    tab.await_animation_frames()
    rows = tab.get("row").all()
    tab.await_value(lambda: all(row.evaluate(IS_PAINTED) for row in rows), True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.browser.pictures", description=__doc__
    )
    parser.add_argument("logdir", type=Path, nargs="?", metavar="LOGDIR")
    logdir = parser.parse_args(argv).logdir
    path = chromium()
    if path is None:
        print(f"The screenshots were not taken: {NOT_FOUND}.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        if logdir is None:
            logdir = Path(folder)
            subprocess.run(["lightning-leaf", "demo", f"--logdir={logdir}"], check=True)
        with tensorboard(logdir) as url, started(path) as browser:
            await_snapshots(url, 1)
            for picture in take_pictures(browser, url, DOCS):
                print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
