"""Large log directories: many runs, one run with many training steps, and images."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard_plugin_leaf import encode, tag_of

from tests.support.plugin import synthetic
from tests.support.plugin.logs import blob_summary

RUNS = 100
SNAPSHOTS = 2000
LOGGED_STEPS = 100
PATHS = 8
# Shorter than the paths of the callbacks, because checksums in Python dominate the writing time.
STEPS = 30
FRAMES = 6

Variant = tuple[bytes, list[bytes], Any]


def write_logs(leaf: Path, images: Path) -> None:
    """Write snapshots to one directory and image summaries of the same pixels to the other."""
    variants = [variant(number) for number in range(10)]
    for number in range(RUNS):
        image_writer = EventFileWriter(str(images / f"version_{number}"))
        shifted = variants[number % 10 :] + variants[: number % 10]
        for step, tag in write_run(leaf / f"version_{number}", shifted, SNAPSHOTS // RUNS):
            image = shifted[(step // 100 - 1) % len(shifted)][2]
            value = summary_pb2.Summary.Value(tag=tag, image=image)
            add(image_writer, summary_pb2.Summary(value=[value]), step)
        image_writer.close()


def write_steps(training: Path) -> None:
    """Write one run with the same paths at many steps, and as many frames as callbacks keep."""
    paths = [dataclasses.replace(synthetic.path(4, 9, frames=13), source_index=i) for i in range(2)]
    index, blobs = encode(dataclasses.replace(synthetic.snapshot(), paths=tuple(paths)))
    write_run(training / "version_0", [(index, blobs, None)], LOGGED_STEPS)


def write_run(run: Path, variants: list[Variant], count: int) -> list[tuple[int, str]]:
    """Write snapshots of all variants in turn, one every 100 steps; return steps and tags."""
    writer = EventFileWriter(str(run))
    written = []
    for position in range(count):
        step = 100 * (position + 1)
        index, blobs, _ = variants[position % len(variants)]
        snapshot = synthetic.snapshot(step, paths=1, path_steps=1)
        # Reuse encoded paths: encoding 16 000 would dominate, and the content does not matter.
        content = json.dumps(json.loads(index) | {"step": step, "epoch": snapshot.epoch})
        written.append((step, tag_of(snapshot)))
        add(writer, blob_summary(tag_of(snapshot), content.encode(), blobs), step)
    writer.close()
    return written


def variant(number: int) -> Variant:
    """Return index and blobs of a snapshot of digits, and one image of all its frames."""
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


def size(folder: Path) -> float:
    """Return the size of the files in ``folder``, in megabytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
