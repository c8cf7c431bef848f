"""Log directories that are written to make a reader slow or large, each of a given size."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto import summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard_plugin_leaf import Snapshot, encode, tag_of
from tensorboard_plugin_leaf.codec.json_fields import MAX_JSON_BYTES
from tensorboard_plugin_leaf.codec.sprite_sheet import MAX_SHEET_BYTES
from tensorboard_plugin_leaf.routes.json_content import MAX_NUMBERS

from tests.benchmarks.logs_written import add
from tests.support.plugin import synthetic
from tests.support.plugin.blobs import archive_of, members_of
from tests.support.plugin.fake_provider import Event as InMemory
from tests.support.plugin.fake_provider import event
from tests.support.plugin.logs import blob_summary

END = "end"
"""Tag of the last scalar of every run."""

Event = tuple[str, bytes, list[bytes]]
"""Tag, index and blobs of a snapshot."""
Events = Iterator[tuple[str, Event]]
"""Run and event, run after run."""


def write_events(logdir: Path, events: Events, megabytes: float) -> tuple[int, int]:
    """Write events until they have this size, and return the numbers of runs and snapshots."""
    room = megabytes * 1e6
    current, writer = "", None
    runs = snapshots = 0
    for run, (tag, index, blobs) in events:
        room -= len(tag) + len(index) + sum(map(len, blobs))
        if room < 0:
            break
        if run != current or writer is None:
            end(writer)
            writer = EventFileWriter(str(logdir / run))
            current, runs = run, runs + 1
        add(writer, blob_summary(tag, index, blobs), snapshots)
        snapshots += 1
    end(writer)
    return runs, snapshots


def end(writer: EventFileWriter | None) -> None:
    """Write the last event of a run, and close its file."""
    if writer is not None:
        value = summary_pb2.Summary.Value(tag=END, simple_value=1.0)
        add(writer, summary_pb2.Summary(value=[value]), 0)
        writer.close()


def at_step(snapshot: Snapshot, index: bytes, step: int) -> tuple[str, bytes]:
    """Return tag and index of ``snapshot`` at another step."""
    content = json.dumps(json.loads(index) | {"step": step}, separators=(",", ":"))
    return tag_of(dataclasses.replace(snapshot, step=step)), content.encode()


def huge_blobs() -> Events:
    """Snapshots of one path of 48 MB: noise, which cannot be compressed."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 6900, 6900), np.uint8)
    snapshot = synthetic.snapshot_of_size(1, 2, noise)
    for step in range(10):
        stepped = dataclasses.replace(snapshot, step=step)
        yield "run", (tag_of(stepped), *encode(stepped))


def many_numbers() -> Events:
    """Signals of as many numbers as the page shows, all different."""
    numbers = np.random.default_rng(0).normal(size=(1, 1, MAX_NUMBERS - 2)).astype(np.float32)
    snapshot = synthetic.snapshot_of_size(1, 2, numbers)
    index, blobs = encode(snapshot)
    for step in range(100):
        yield "run", (*at_step(snapshot, index, step), blobs)


def huge_indices() -> Events:
    """Snapshots of thousands of paths each, whose indices have the largest size."""
    values = json.loads(event(0)[1].content)
    path = json.dumps(values["paths"][0], separators=(",", ":"))
    count = (MAX_JSON_BYTES - 1000) // (len(path) + 1)
    for step in range(1000):
        index = values | {"step": step, "paths": values["paths"] * count}
        content = json.dumps(index, separators=(",", ":")).encode()
        yield "run", (event(step)[0], content, [b""] * count)


def deep_indices() -> Events:
    """Indices that are not those of snapshots, but many objects or deep nesting."""
    objects = b'{"schema":1,"paths":[' + b"{}," * ((MAX_JSON_BYTES - 100) // 3) + b"{}]}"
    nested = b'{"schema":1,"paths":' + b"[" * (MAX_JSON_BYTES // 2 - 100)
    for step in range(1000):
        yield "run", (event(step)[0], (objects, nested)[step % 2], [b""])


def compressed() -> Events:
    """Paths that are a thousand times larger after decompression: black images, equal numbers."""
    side = int(MAX_SHEET_BYTES**0.5)
    png = io.BytesIO()
    Image.new("L", (side, side)).save(png, format="PNG")
    frames = np.zeros((1, side, side), np.uint8)
    images = synthetic.snapshot_of_size(1, 2, frames[:, :1, :1])
    members = members_of(encode(images)[1][0])
    values = json.loads(members["path.json"]) | {"image_shape": [side, side]}
    named = {"path.json": json.dumps(values).encode(), "frames.png": png.getvalue()}
    image = archive_of(members | named)
    numbers = np.zeros((1, 1, MAX_NUMBERS - 100), np.float32)
    signal = synthetic.snapshot_of_size(1, 2, numbers)
    index, (signal_blob,) = encode(signal)
    for step in range(10_000):
        yield "run", (*at_step(signal, index, step), [(image, signal_blob)[step % 2]])


def snapshots_of_one_name() -> Events:
    """20 000 snapshots of one name in one run."""
    yield from (("run", written(event(step))) for step in range(20_000))


def sessions() -> Events:
    """6 000 sessions of one run, each of which resumes at the last step of the one before."""
    yield from (("run", written(event(step, step, step))) for step in range(6_000))


def runs() -> Events:
    """10 000 runs of one snapshot each."""
    yield from ((f"version_{number}", written(event(number))) for number in range(10_000))


def written(tagged: tuple[str, InMemory]) -> Event:
    """Return an event of the data provider in memory as one to be written."""
    tag, stored = tagged
    return tag, stored.content, list(stored.blobs)


HOSTILE: dict[str, Callable[[], Events]] = {
    "paths of 48 MB": huge_blobs,
    "signals of 2 million numbers": many_numbers,
    "indices of 1 MB": huge_indices,
    "deep indices": deep_indices,
    "compressed paths": compressed,
    "20 000 snapshots of one name": snapshots_of_one_name,
    "6 000 sessions": sessions,
    "10 000 runs": runs,
}
"""Log directories by name."""
