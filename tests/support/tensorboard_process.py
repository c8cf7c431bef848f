"""A TensorBoard process that serves a log directory, for tests of its routes and its page."""

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

# Stops tests that would wait forever. Tests on a slow or busy machine need much less.
HANG_SECONDS = 600


@contextmanager
def tensorboard(
    logdir: Path | None, *arguments: str, python: str = sys.executable
) -> Iterator[str]:
    """Run TensorBoard inside the context.

    Args:
        logdir: The log directory. With ``None``, ``arguments`` name it.
        *arguments: Further command-line arguments.
        python: The interpreter that runs TensorBoard.

    Yields:
        The URL of TensorBoard, which ends with a slash.
    """
    command = [python, "-m", "tensorboard.main", "--port=0", "--host=127.0.0.1"]
    logdir_option = [] if logdir is None else [f"--logdir={logdir}"]
    process = subprocess.Popen(
        [*command, *logdir_option, *arguments],
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
        process.wait(timeout=HANG_SECONDS)
        reader.join(timeout=HANG_SECONDS)
        process.stderr.close()


def fetch(url: str) -> bytes:
    """Return the content at ``url``."""
    with urllib.request.urlopen(url, timeout=HANG_SECONDS) as response:
        content: bytes = response.read()
    return content


def ask(url: str, route: str) -> Any:
    """Return the JSON of a route of the plugin, such as ``"snapshots"``."""
    return json.loads(fetch(f"{url}data/plugin/leaf/{route}"))


def await_snapshots(url: str, count: int) -> None:
    """Wait until TensorBoard lists ``count`` snapshots, including damaged ones."""
    deadline = time.monotonic() + HANG_SECONDS
    listed = -1
    while listed < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"TensorBoard listed {listed} snapshots instead of {count}.")
        time.sleep(0.1)
        runs = ask(url, "snapshots")["runs"]
        listed = sum(len(run["snapshots"]) + len(run["damaged"]) for run in runs)


def _read(stream: Iterable[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)


def _printed_url(process: subprocess.Popen[str], lines: queue.Queue[str]) -> str:
    printed = ""
    deadline = time.monotonic() + HANG_SECONDS
    while not (match := re.search(r"at (http://\S+)", printed)):
        if time.monotonic() > deadline or (process.poll() is not None and lines.empty()):
            raise RuntimeError(f"TensorBoard did not start. Its output:\n{printed}")
        with suppress(queue.Empty):
            printed += lines.get(timeout=0.5)
    return match[1].rstrip("/") + "/"
