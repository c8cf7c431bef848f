"""The browser: which one, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE = f"no Chromium: none of {NAMES} is installed, and LEAF_CHROMIUM is not set"


def chromium() -> str | None:
    """The path of a Chromium: `LEAF_CHROMIUM`, or one that is installed."""
    return os.environ.get("LEAF_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started(path: str) -> Iterator[Browser]:
    """The Chromium at `path`."""
    with sync_playwright() as playwright:
        # Containers have neither a sandbox nor a GPU.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
