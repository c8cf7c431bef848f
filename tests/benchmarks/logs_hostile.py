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


def small(step: int = 0, session: int = 0, start: int = 0, name: str = "path") -> Snapshot:
    """Return a snapshot of one short path."""
    return synthetic.snapshot(
        step,
        name=name,
        paths=1,
        path_steps=1,
        shape=(8, 8),
        session=f"{session:016x}",
        session_start_step=start,
    )


def renamed(index: bytes, snapshot: Snapshot) -> Event:
    """Return tag and index of ``snapshot``, with the paths of ``index`` and no blobs."""
    scalars = json.loads(encode(dataclasses.replace(snapshot))[0])
    values = json.loads(index) | {key: scalars[key] for key in scalars if key != "paths"}
    return tag_of(snapshot), json.dumps(values, separators=(",", ":")).encode(), []


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
    ((blob,), index) = reversed(encode(snapshot))
    for step in range(100):
        tag, content, _ = renamed(index, dataclasses.replace(snapshot, step=step))
        yield "run", (tag, content, [blob])


def huge_indices() -> Events:
    """Snapshots of thousands of paths each, whose indices have the largest size."""
    values = json.loads(encode(small())[0])
    path = json.dumps(values["paths"][0], separators=(",", ":"))
    count = (MAX_JSON_BYTES - 1000) // (len(path) + 1)
    for step in range(1000):
        snapshot = small(step)
        index = values | {"step": step, "session": snapshot.session}
        index["paths"] = values["paths"] * count
        content = json.dumps(index, separators=(",", ":")).encode()
        yield "run", (tag_of(snapshot), content, [b""] * count)


def deep_indices() -> Events:
    """Indices that are not those of snapshots, but many objects or deep nesting."""
    objects = b'{"schema":1,"paths":[' + b"{}," * ((MAX_JSON_BYTES - 100) // 3) + b"{}]}"
    nested = b'{"schema":1,"paths":' + b"[" * (MAX_JSON_BYTES // 2 - 100)
    for step in range(1000):
        yield "run", (tag_of(small(step)), (objects, nested)[step % 2], [b""])


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
    ((signal_blob,), index) = reversed(encode(signal))
    for step in range(10_000):
        tag, content, _ = renamed(index, dataclasses.replace(images, step=step))
        yield "run", (tag, content, [(image, signal_blob)[step % 2]])


def snapshots_of_one_name() -> Events:
    """20 000 snapshots of one name in one run."""
    yield from ((("run"), event) for event in many(lambda i: small(i), 20_000))


def sessions() -> Events:
    """6 000 sessions of one run, each of which resumes at the last step of the one before."""
    yield from (("run", event) for event in many(lambda i: small(i, i, i), 6_000))


def runs() -> Events:
    """10 000 runs of one snapshot each."""
    events = many(lambda i: small(i), 10_000)
    yield from ((f"version_{position}", event) for position, event in enumerate(events))


def many(snapshot_at: Callable[[int], Snapshot], count: int) -> Iterator[Event]:
    """Yield the events of small snapshots."""
    _, blobs = encode(small())
    for position in range(count):
        snapshot = snapshot_at(position)
        tag, index, _ = renamed(encode(small())[0], snapshot)
        yield tag, index, blobs


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
