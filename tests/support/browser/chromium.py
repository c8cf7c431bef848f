"""Finds and starts Chromium."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, sync_playwright

# The headless shell is Chromium without a user interface: it starts pages in less time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
NOT_FOUND = f"no Chromium: none of {NAMES} is installed, and LEAF_CHROMIUM is not set"


def chromium() -> str | None:
    """Return the path of Chromium: `LEAF_CHROMIUM`, or an installed one; None if there is none."""
    return os.environ.get("LEAF_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


# Containers provide neither a sandbox nor a GPU.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")

# A page may download several files without asking.
PREFERENCES = {"profile": {"default_content_setting_values": {"automatic_downloads": 1}}}


@contextmanager
def started(path: str) -> Iterator[Browser]:
    """Run the Chromium at `path` within a context."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def started_with_cache(path: str, folder: Path) -> Iterator[dict[bool, BrowserContext]]:
    """Run the Chromium at `path` without and with touch, with its profiles in `folder`.

    A profile keeps the compiled scripts of TensorBoard: pages open in about half the time.
    """
    profiles = {touch: folder / f"touch-{touch}" for touch in (False, True)}
    for profile in profiles.values():
        (profile / "Default").mkdir(parents=True)
        (profile / "Default" / "Preferences").write_text(json.dumps(PREFERENCES))
    with sync_playwright() as playwright:
        contexts = {
            touch: playwright.chromium.launch_persistent_context(
                profile, executable_path=path, args=ARGUMENTS, has_touch=touch
            )
            for touch, profile in profiles.items()
        }
        for context in contexts.values():
            # The settings of one test must not reach the next.
            context.add_init_script("localStorage.clear()")
        yield contexts
        for context in contexts.values():
            context.close()
