"""A real TensorBoard on a log directory, for tests that look at its page."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_SECONDS = 90


@contextmanager
def tensorboard(
    logdir: Path | None, *arguments: str, python: str = sys.executable
) -> Iterator[str]:
    """The URL, with a slash at its end, of a TensorBoard that lives as long as the context.

    Without `logdir`, the arguments name what it shows.
    """
    command = [python, "-m", "tensorboard.main", "--port=0", "--host=127.0.0.1"]
    shown = [] if logdir is None else [f"--logdir={logdir}"]
    process = subprocess.Popen(
        [*command, *shown, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
    reader.start()
    try:
        yield _printed_url(process, lines)
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join(timeout=30)
        process.stderr.close()


def ask(url: str, route: str) -> Any:
    """What the plugin answers at `route`, such as `"snapshots"`."""
    with urllib.request.urlopen(f"{url}data/plugin/leaf/{route}", timeout=60) as response:
        return json.load(response)


def await_snapshots(url: str, count: int, seconds: float = 60) -> None:
    """Wait until TensorBoard has read `count` snapshots, damaged ones included."""
    deadline = time.monotonic() + seconds
    found = -1
    while found < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"TensorBoard read {found} snapshots instead of {count}.")
        time.sleep(0.1)
        runs = ask(url, "snapshots")["runs"]
        found = sum(len(run["snapshots"]) + len(run["damaged"]) for run in runs)


def _read(stream: Iterable[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)


def _printed_url(process: subprocess.Popen[str], lines: queue.Queue[str]) -> str:
    printed = ""
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"at (http://\S+)", printed)):
        if time.monotonic() > deadline or (process.poll() is not None and lines.empty()):
            raise RuntimeError(f"TensorBoard did not start. It said:\n{printed}")
        with suppress(queue.Empty):
            printed += lines.get(timeout=0.5)
    return found[1].rstrip("/") + "/"
