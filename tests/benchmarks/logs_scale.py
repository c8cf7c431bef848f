"""The LEAF tab's routes over 100 runs and 2 000 snapshots, beside TensorBoard's images."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard_plugin_leaf import encode, tag_of

from tests.plugin import synthetic
from tests.plugin.logs import blob_summary
from tests.tensorboard_process import tensorboard

RUNS = 100
SNAPSHOTS = 2000
PATHS = 8
# Shorter than the paths of the callbacks: checksums in Python take most of the time of writing.
STEPS = 30
FRAMES = 6
REPEATS = 20
LOADERS = {"python": "--load_fast=false", "rust": "--load_fast=true"}


def run() -> None:
    """Make the log directories, and print what each loader of TensorBoard makes of them."""
    with tempfile.TemporaryDirectory() as folder:
        leaf, images = Path(folder, "leaf"), Path(folder, "images")
        started = time.monotonic()
        make_logs(leaf, images)
        print(f"{RUNS} runs, {SNAPSHOTS} snapshots of {PATHS} paths, made in ", end="")
        print(f"{time.monotonic() - started:.0f} s")
        print(f"on disk: snapshots {size(leaf):.1f} MB, images {size(images):.1f} MB")
        for name, argument in LOADERS.items():
            print(f"\n{name} loader, snapshots")
            started = time.monotonic()
            with tensorboard(leaf, argument) as url:
                report_snapshots(url, started)
            print(f"{name} loader, TensorBoard's images")
            started = time.monotonic()
            with tensorboard(images, argument) as url:
                report_images(url, started)


def make_logs(leaf: Path, images: Path) -> None:
    """Snapshots in one directory, and image summaries of the same pixels in the other."""
    variants = [variant(number) for number in range(10)]
    for number in range(RUNS):
        leaf_writer = EventFileWriter(str(leaf / f"version_{number}"))
        image_writer = EventFileWriter(str(images / f"version_{number}"))
        for position in range(SNAPSHOTS // RUNS):
            step = 100 * (position + 1)
            index, blobs, image = variants[(number + position) % len(variants)]
            snapshot = synthetic.snapshot(step, paths=1, path_steps=1)
            # Encoding 16 000 paths would take most of the time, and reading sees no difference.
            content = json.dumps(json.loads(index) | {"step": step, "epoch": snapshot.epoch})
            tag = tag_of(snapshot)
            add(leaf_writer, blob_summary(tag, content.encode(), blobs), step)
            value = summary_pb2.Summary.Value(tag=tag, image=image)
            add(image_writer, summary_pb2.Summary(value=[value]), step)
        leaf_writer.close()
        image_writer.close()


def variant(number: int) -> tuple[bytes, list[bytes], Any]:
    """The index and blobs of a snapshot of digits, and one image of all of its frames."""
    paths = [synthetic.path((number + i) % 10, i, steps=STEPS, frames=FRAMES) for i in range(PATHS)]
    snapshot = synthetic.snapshot(paths=PATHS, path_steps=STEPS)
    index, blobs = encode(dataclasses.replace(snapshot, paths=tuple(paths)))
    rows = [np.concatenate(list(path.frames), axis=1) for path in paths]  # (H, F W)
    sheet = np.concatenate(rows)  # (P H, F W)
    png = io.BytesIO()
    Image.fromarray(sheet).save(png, format="PNG")
    image = summary_pb2.Summary.Image(
        height=sheet.shape[0],
        width=sheet.shape[1],
        colorspace=1,
        encoded_image_string=png.getvalue(),
    )
    return index, blobs, image


def add(writer: EventFileWriter, summary: Any, step: int) -> None:
    writer.add_event(event_pb2.Event(summary=summary, step=step, wall_time=1.7e9 + step))


def report_snapshots(url: str, started: float) -> None:
    route = f"{url}data/plugin/leaf/"

    def listed() -> int:
        return sum(len(run["snapshots"]) for run in fetch_json(route + "snapshots")["runs"])

    await_count(listed, started)
    runs = fetch_json(route + "snapshots")["runs"]
    snapshot = runs[0]["snapshots"][0]
    key = urlencode({"run": runs[0]["run"], "tag": snapshot["tag"]})
    report("list", route + "snapshots")
    for name in ("path", "frames"):
        report(name, f"{route}{name}?{key}")
    report_memory()


def report_images(url: str, started: float) -> None:
    route = f"{url}data/plugin/images/"

    def listed() -> int:
        return sum(map(len, fetch_json(route + "tags").values()))

    await_count(listed, started)
    run, tags = next(iter(fetch_json(route + "tags").items()))
    key = urlencode({"run": run, "tag": min(tags), "sample": 0})
    report("list", route + "tags")
    (image,) = fetch_json(f"{route}images?{key}")
    report("one image", f"{route}individualImage?{image['query']}")
    report_memory()


def await_count(listed: Callable[[], int], started: float) -> None:
    while listed() < SNAPSHOTS:
        time.sleep(0.25)
    print(f"  everything listed {time.monotonic() - started:.1f} s after the start")


def report(name: str, url: str) -> None:
    milliseconds = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        content, plain = fetch(url)
        milliseconds.append(1000 * (time.perf_counter() - started))
    print(
        f"  {name:<10} first {milliseconds[0]:6.1f} ms, then "
        f"{statistics.median(milliseconds[1:]):6.1f} ms (median of {REPEATS}), "
        f"{content / 1000:.1f} kB on the wire, {plain / 1000:.1f} kB of content"
    )


def report_memory() -> None:
    sizes = {name: memory for name, memory in processes() if memory}
    print("  memory     " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))


def processes() -> Iterator[tuple[str, float]]:
    """Name and resident megabytes of every process that this one started."""
    waiting = [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            waiting += map(int, file.read_text().split())
        if parent != os.getpid():
            lines = Path(f"/proc/{parent}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            yield status["Name"].strip(), int(status.get("VmRSS", "0 kB").split()[0]) / 1000


def fetch(url: str) -> tuple[int, int]:
    """Bytes on the wire, and of the content."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=120) as response:
        wire = response.read()
        packed = response.headers["Content-Encoding"] == "gzip"
    return len(wire), len(gzip.decompress(wire)) if packed else len(wire)


def fetch_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=120) as response:
        return json.load(response)


def size(folder: Path) -> float:
    """Megabytes of the files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
