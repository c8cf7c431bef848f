"""Finds and starts Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NOT_FOUND = f"no Chromium: none of {NAMES} is installed, and LEAF_CHROMIUM is not set"


def chromium() -> str | None:
    """Return the path of Chromium: `LEAF_CHROMIUM`, or an installed one; None if there is none."""
    return os.environ.get("LEAF_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started(path: str) -> Iterator[Browser]:
    """Run the Chromium at `path` within a context."""
    with sync_playwright() as playwright:
        # Containers provide neither a sandbox nor a GPU.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
