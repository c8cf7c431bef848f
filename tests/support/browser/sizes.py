"""A log directory of a few hundred kilobytes that asks a browser for far more, and its measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard_plugin_leaf import PathRecord, Snapshot, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory

LARGE_SIDE = 2100
LARGE_PATHS = 12
FRAMES = 20_000
CLASSES = 5_000
NAMES = 500
DOUBLES = {
    "doubles": (5e-324, 1e-300, 1e-3, 1e300, 1.7e308),
    "largest": (1e308,) * 5,
}
STEPS = (0, 1, 2**31, 2**53, 2**62)
LONG_RUN = f"filter/{'a' * 200}!"
# Letters that reverse others, have no width, end strings or colour a terminal.
HIDDEN = "\u202egnp\u202c\u200b\0\x1b[31m"
LONG_REASON = "reason " * 100_000

# Count the pixels of all open bitmaps. They are not freed by garbage collection in time.
COUNT_BITMAPS = """
window.bitmaps = {pixels: 0, most: 0, count: 0};
const create = window.createImageBitmap.bind(window);
window.createImageBitmap = async (...parameters) => {
  const bitmap = await create(...parameters);
  const pixels = bitmap.width * bitmap.height;
  bitmaps.pixels += pixels;
  bitmaps.count += 1;
  bitmaps.most = Math.max(bitmaps.most, bitmaps.pixels);
  const close = bitmap.close.bind(bitmap);
  bitmap.close = () => { bitmaps.pixels -= pixels; close(); };
  return bitmap;
};
"""
# A page that never frees its bitmaps.
LEAK_BITMAPS = """
Object.defineProperty(ImageBitmap.prototype, "close", {value() {}});
const made = window.createImageBitmap;
window.createImageBitmap = async (...parameters) => {
  const bitmap = await made(...parameters);
  bitmap.close = () => {};
  return bitmap;
};
"""
CANVAS_PIXELS = """
() => [...document.querySelectorAll("canvas")].reduce((sum, c) => sum + c.width * c.height, 0)
"""
COUNT_ELEMENTS = "() => document.getElementsByTagName('*').length"


def write_sizes(folder: Path) -> None:
    """Fill ``folder`` with one run for each thing of which there is too much."""
    log = LogDirectory(folder)
    for name, snapshot in snapshots().items():
        with log.run(name) as writer:
            write(writer, snapshot)
    with log.run("names") as writer:
        small = synthetic.snapshot(1, paths=1, path_steps=3)
        small = dataclasses.replace(small, paths=(synthetic.path(steps=3, shape=(2, 2)),))
        for i in range(NAMES):
            write(writer, dataclasses.replace(small, name=f"name_{i}"))
    for name, values in DOUBLES.items():
        with log.run(name) as writer:
            events = writer._get_file_writer()
            for tag in ("leaf/trace_mean", "leaf/trace_median", "leaf/tangent_dimension"):
                for step, value in zip(STEPS, values, strict=True):
                    events.add_summary(double_summary(tag, value), step)


def snapshots() -> dict[str, Snapshot]:
    """Return one snapshot for each run."""
    small = synthetic.path()
    side = np.zeros((3, LARGE_SIDE, LARGE_SIDE), np.uint8)
    large = dataclasses.replace(synthetic.path(frames=3), frames=side, destination_frame=side[0])
    pairs = tuple(dataclasses.replace(large, source_index=i) for i in range(LARGE_PATHS))
    hidden = dataclasses.replace(
        small,
        source=f"source{HIDDEN}",
        classes=tuple(f"{name}{HIDDEN}" for name in small.classes),
        frame_labels=tuple(f"{name}{HIDDEN}" for name in small.frame_labels),
    )
    base = synthetic.snapshot(100)
    return {
        "large": dataclasses.replace(base, paths=pairs),
        "frames": dataclasses.replace(base, paths=(path_of_frames(FRAMES),)),
        "classes": dataclasses.replace(base, paths=(path_of_classes(CLASSES),)),
        "constructor": dataclasses.replace(base, reason="constructor"),
        LONG_RUN: dataclasses.replace(base, paths=(hidden,), reason=LONG_REASON),
    }


def path_of_frames(count: int) -> PathRecord:
    """Return a path whose frames are single pixels."""
    steps = np.arange(count, dtype=np.int32)
    path = synthetic.path(steps=count - 1)
    return dataclasses.replace(
        path,
        frame_steps=steps,
        frame_labels=("4",) * (count // 2) + ("9",) * (count - count // 2),
        frame_probabilities=np.full(count, 0.5, np.float32),
        frames=np.zeros((count, 1, 1), np.uint8),
        destination_frame=None,
    )


def path_of_classes(count: int) -> PathRecord:
    """Return a path whose first classes are the most probable ones."""
    path = synthetic.path(steps=9)
    points = len(path.curve_steps)
    probabilities = np.geomspace(0.5, 1e-6, count, dtype=np.float32)  # (K,)
    return dataclasses.replace(
        path,
        classes=tuple(f"class {k}" for k in range(count)),
        probabilities=np.tile(probabilities, (points, 1)),
    )


def double_summary(tag: str, value: float) -> Any:
    """Return the summary of a scalar in double precision."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, double_val=[value])
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars"),
        data_class=summary_pb2.DATA_CLASS_SCALAR,
    )
    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)]
    )
