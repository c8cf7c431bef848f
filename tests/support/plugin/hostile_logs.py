"""A log directory with valid, damaged and malicious snapshots."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tensorboard_plugin_leaf import Snapshot, encode, tag_of, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory, blob_summary
from tests.support.tensorboard_process import HANG_SECONDS, ask

# Each of these scripts sets `leafMark` if it runs.
SCRIPTS = (
    "<script>window.parent.leafMark=window.leafMark=1</script>",
    '"><img src=x onerror="parent.leafMark=leafMark=1">',
    "javascript:alert(1)",
    "${alert(1)}{{alert(1)}}",
    "<svg onload=alert(1)>",
)
SCRIPT_RUN = "run <img src=x onerror=parent.leafMark=leafMark=1>"
DAMAGED_RUN = "damaged"
GOOD_RUNS = ("a_good", "z_good", SCRIPT_RUN, DAMAGED_RUN, "truncated", "garbage")
GOOD_TAG = tag_of(synthetic.snapshot(100))

# Invalid indices, by the end of their tags.
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "zeros": bytes(1000),
    "null": b"null",
    "list": b"[" * 100_000,
    "newer": b'{"schema":2}',
    "huge": b'"' + b"<" * 1_100_000 + b'"',
    "random": random.Random(0).randbytes(4000),
    "script": b'{"schema":1,"name":"<script>alert(1)</script>","paths":[]}',
}


def _set_shape(*sizes: int) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        del value.tensor.tensor_shape.dim[:]
        for size in sizes:
            value.tensor.tensor_shape.dim.add().size = size

    return change


def _set_type(number: int) -> Callable[[Any], None]:
    return lambda value: setattr(value.tensor, "dtype", number)


def _set_strings(*strings: bytes) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        value.tensor.string_val[:] = strings

    return change


# Changes of a valid tensor of blobs, by name.
TENSORS: dict[str, Callable[[Any], None]] = {
    "no tensor": lambda value: value.ClearField("tensor"),
    "a number": lambda value: setattr(value, "simple_value", 1.0),
    "no shape": _set_shape(),
    "no elements": _set_shape(0),
    "negative": _set_shape(-1),
    "twice negative": _set_shape(-1, -3),
    "a billion": _set_shape(2**30),
    "beyond numbers": _set_shape(2**62, 2**62),
    "a matrix": _set_shape(3, 1),
    "float": _set_type(1),
    "no type": _set_type(0),
    "unknown type": _set_type(99),
    "no strings": _set_strings(),
    "one string": _set_strings(b"blob"),
    "many strings": _set_strings(*[b"<script>"] * 1000),
    "a long string": _set_strings(bytes(500_000), b"", b""),
    "other content": lambda value: setattr(value.tensor, "tensor_content", b"abc"),
}


def tensor_snapshot(name: str) -> Snapshot:
    """Return the snapshot whose tensor is changed by ``TENSORS[name]``."""
    return synthetic.snapshot(200 + list(TENSORS).index(name), name="tensor")


TENSOR_TAGS = {name: tag_of(tensor_snapshot(name)) for name in TENSORS}


def write_hostile_logs(folder: Path) -> LogDirectory:
    """Fill ``folder`` with runs.

    Each of ``GOOD_RUNS`` has a valid snapshot ``GOOD_TAG``, some of them with damaged ones.
    """
    log = LogDirectory(folder)
    for name in GOOD_RUNS:
        with log.run(name) as writer:
            events = writer._get_file_writer()
            write(writer, scripted() if name == SCRIPT_RUN else synthetic.snapshot(100))
            writer.add_scalar("loss", 0.5, 0)
            if name == DAMAGED_RUN:
                write_damaged(events)
    break_file(folder / "truncated", lambda content: content[: len(content) * 9 // 10])
    break_file(folder / "garbage", lambda content: content + random.Random(1).randbytes(5000))
    (folder / "empty").mkdir()
    (folder / "empty" / "events.out.tfevents.1.empty").touch()
    (folder / "folder" / "events.out.tfevents.1.folder").mkdir(parents=True)
    (folder / "rubbish").mkdir()
    (folder / "rubbish" / "events.out.tfevents.1.rubbish").write_bytes(b"\xff" * 10_000)
    return log


def await_hostile_logs(url: str) -> None:
    """Wait until TensorBoard at ``url`` lists the last event of every run."""
    deadline = time.monotonic() + HANG_SECONDS
    expected = {*((name, GOOD_TAG) for name in GOOD_RUNS), (DAMAGED_RUN, SCRIPTS[-1])}
    while missing := expected - {
        (run["run"], item["tag"])
        for run in ask(url, "snapshots")["runs"]
        for item in run["snapshots"] + run["damaged"]
    }:
        if time.monotonic() > deadline:
            raise TimeoutError(f"TensorBoard did not list {missing}.")
        time.sleep(0.1)


def write_damaged(events: Any) -> None:
    _, blobs = encode(synthetic.snapshot(200))
    for name, content in CONTENTS.items():
        events.add_summary(blob_summary(f"content/{name}", content, blobs), 200)
    for name, change in TENSORS.items():
        index, blobs = encode(tensor_snapshot(name))
        summary = blob_summary(TENSOR_TAGS[name], index, blobs)
        change(summary.value[0])
        events.add_summary(summary, 200)
    for script in SCRIPTS:
        events.add_summary(blob_summary(script, script.encode(), [script.encode()]), 200)


def scripted() -> Snapshot:
    """Return a valid snapshot whose names are scripts."""
    snapshot = synthetic.snapshot(100, reason=SCRIPTS[0])
    paths = tuple(
        dataclasses.replace(
            path,
            source=script,
            destination=script,
            classes=tuple(f"{script}{k}" for k in range(len(path.classes))),
            frame_labels=(script,) * len(path.frame_labels),
        )
        for path, script in zip(snapshot.paths, SCRIPTS, strict=False)
    )
    return dataclasses.replace(snapshot, paths=paths)


def break_file(run: Path, change: Callable[[bytes], bytes]) -> None:
    """Add a second event file to a run: a valid file to which ``change`` is applied."""
    (file,) = run.glob("events*")
    other = synthetic.snapshot(300)
    with TemporaryDirectory() as folder:
        log = LogDirectory(Path(folder))
        with log.run("run") as writer:
            write(writer, other)
        (valid,) = (log.path / "run").glob("events*")
        content = change(valid.read_bytes())
    file.with_name("events.out.tfevents.9999999999.broken").write_bytes(content)
