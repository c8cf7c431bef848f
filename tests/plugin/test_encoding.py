"""Snapshots as bytes: nothing is lost, and no bytes are too strange."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorboard_plugin_leaf import PathRecord, Snapshot, SnapshotError, decode, encode
from tensorboard_plugin_leaf.codec.index_codec import decode_index, mean_horizontality
from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.schema.path import STATUSES

from tests.support.plugin import synthetic
from tests.support.plugin.limits import examples

text = st.text(max_size=8)
count = st.integers(0, 2**53 - 1)
number = st.floats(allow_nan=True, allow_infinity=True)


def float_array(*shape: int) -> st.SearchStrategy[Any]:
    return hnp.arrays(np.float32, shape, elements=st.floats(width=32))


@st.composite
def steps_arrays(draw: st.DrawFn, last: int) -> Any:
    between = draw(st.sets(st.integers(1, last - 1), max_size=6)) if last > 1 else set()
    return np.array(sorted({0, last, *between}), np.int32)


@st.composite
def path_records(draw: st.DrawFn) -> PathRecord:
    steps = draw(st.integers(0, 2**31 - 1))
    curve_steps, frame_steps = draw(steps_arrays(steps)), draw(steps_arrays(steps))
    points, frames = len(curve_steps), len(frame_steps)
    classes = draw(st.lists(text, min_size=1, max_size=4))
    side = st.integers(1, 6)
    shape = draw(
        st.one_of(st.tuples(side), st.tuples(side, side), st.tuples(side, side, st.just(3)))
    )
    is_image = len(shape) == 3 or (len(shape) == 2 and draw(st.booleans()))

    def frame_arrays(*shape: int) -> st.SearchStrategy[Any]:
        return hnp.arrays(np.uint8, shape) if is_image else float_array(*shape)

    return PathRecord(
        source=draw(text),
        destination=draw(text),
        source_index=draw(st.none() | count),
        destination_index=draw(st.none() | count),
        status=draw(st.sampled_from(STATUSES)),
        steps=steps,
        start_distance=draw(number),
        final_distance=draw(number),
        threshold=draw(number),
        classes=tuple(classes),
        curve_steps=curve_steps,
        probabilities=draw(float_array(points, len(classes))),
        distance=draw(float_array(points)),
        horizontality=draw(float_array(points)),
        fisher_rao_length=draw(float_array(points)),
        entropy=draw(float_array(points)),
        frame_steps=frame_steps,
        frame_labels=tuple(draw(st.lists(text, min_size=frames, max_size=frames))),
        frame_probabilities=draw(float_array(frames)),
        frames=draw(frame_arrays(frames, *shape)),
        destination_frame=draw(st.none() | frame_arrays(*shape)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    return Snapshot(
        name=draw(st.from_regex(r"\A[A-Za-z0-9_.-]+\Z")),
        kind=draw(st.sampled_from(["horizontal", "orthogonal"])),
        step=draw(st.integers(0, 10**12 - 1)),
        epoch=draw(count),
        reason=draw(text),
        session=draw(st.from_regex(r"\A[0-9a-f]{16}\Z")),
        session_start_step=draw(count),
        class_count=draw(count),
        input_shape=tuple(draw(st.lists(count, max_size=4))),
        scaled=draw(st.booleans()),
        paths=tuple(draw(st.lists(path_records(), min_size=1, max_size=3))),
    )


def assert_same(actual: Any, expected: Any) -> None:
    assert type(actual) is type(expected)
    for field in dataclasses.fields(expected):
        got, want = getattr(actual, field.name), getattr(expected, field.name)
        if field.name == "paths":
            assert len(got) == len(want)
            for path, expected_path in zip(got, want, strict=True):
                assert_same(path, expected_path)
        elif isinstance(want, np.ndarray):
            assert got.dtype == want.dtype, field.name
            np.testing.assert_array_equal(got, want, field.name, strict=True)
        else:
            assert type(got) is type(want), field.name
            assert got == want or (got != got and want != want), field.name


@examples(60)
@given(snapshots())
def test_decoding_returns_what_was_encoded(snapshot: Snapshot) -> None:
    index, blobs = encode(snapshot)
    assert_same(decode(index, blobs), snapshot)
    assert encode(decode(index, blobs)) == (index, blobs)
    listed = decode_index(index)
    assert (listed.name, listed.step, len(listed.paths)) == (
        snapshot.name,
        snapshot.step,
        len(blobs),
    )


def test_one_changed_pixel_is_not_the_same() -> None:
    snapshot = synthetic.snapshot(paths=1)
    decoded = decode(*encode(snapshot))
    decoded.paths[0].frames[2, 3, 4] ^= 1
    with pytest.raises(AssertionError):
        assert_same(decoded, snapshot)


@examples(200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_snapshot_errors(content: bytes) -> None:
    for read in (decode_index, decode_path, read_sheet):
        with pytest.raises(SnapshotError):
            read(content)
    with pytest.raises(SnapshotError):
        decode(content, [content])


INDEX, BLOBS = encode(synthetic.snapshot(paths=2, path_steps=6, shape=(8, 5)))
_, SIGNAL_BLOBS = encode(synthetic.snapshot(paths=1, path_steps=6, shape=(9,)))


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 6)))
        content[start:stop] = draw(st.binary(max_size=6))
    return bytes(content)


def members_of(blob: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@st.composite
def blobs_with_a_mutated_member(draw: st.DrawFn) -> bytes:
    """Damage that the checksums of a zip archive do not find."""
    members = members_of(draw(st.sampled_from([BLOBS[0], *SIGNAL_BLOBS])))
    name = draw(st.sampled_from(sorted(members)))
    return archive_of(members | {name: draw(mutations(members[name]))})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def blobs_with_a_changed_value(draw: st.DrawFn) -> bytes:
    members = members_of(draw(st.sampled_from([BLOBS[0], *SIGNAL_BLOBS])))
    values = json.loads(members["path.json"])
    values[draw(st.sampled_from(sorted(values)))] = draw(json_values)
    return archive_of(members | {"path.json": json.dumps(values).encode()})


@examples(300)
@given(
    st.one_of(
        mutations(BLOBS[0]),
        mutations(SIGNAL_BLOBS[0]),
        blobs_with_a_mutated_member(),
        blobs_with_a_changed_value(),
    )
)
def test_damaged_paths_are_read_as_paths_or_raise_snapshot_errors(blob: bytes) -> None:
    for read in (decode_path, read_sheet):
        with suppress(SnapshotError):
            read(blob)


@examples(300)
@given(st.data())
def test_damaged_indices_are_read_or_raise_snapshot_errors(data: st.DataObject) -> None:
    values = json.loads(INDEX)
    target = data.draw(st.sampled_from([values, values["paths"][0]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    for content in (json.dumps(values).encode(), data.draw(mutations(INDEX))):
        with suppress(SnapshotError):
            decode_index(content)


def with_values(blob: bytes, **changes: Any) -> bytes:
    members = members_of(blob)
    values = json.loads(members["path.json"]) | changes
    return archive_of(members | {"path.json": json.dumps(values).encode()})


def zip_bomb() -> bytes:
    return archive_of(members_of(BLOBS[0]) | {"distance.npy": bytes(2**26)})


def zip_that_understates_its_size() -> bytes:
    size = 2**27 + 54321
    blob = bytearray(archive_of(members_of(BLOBS[0]) | {"distance.npy": bytes(size)}))
    assert blob.count(struct.pack("<I", size)) == 2
    return bytes(blob.replace(struct.pack("<I", size), struct.pack("<I", 10)))


def lzma_member() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members_of(BLOBS[0]).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy_that_claims_a_huge_shape() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,), }\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(28)
    return archive_of(members_of(BLOBS[0]) | {"distance.npy": npy})


def png_bomb(**changes: Any) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    png += chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    return with_values(archive_of(members_of(BLOBS[0]) | {"frames.png": png}), **changes)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "hostile",
    [
        zip_bomb,
        zip_that_understates_its_size,
        lzma_member,
        npy_that_claims_a_huge_shape,
        png_bomb,
        lambda: png_bomb(
            image_shape=[30_000, 30_000], frame_labels=[""], has_destination_frame=False
        ),
        lambda: with_values(BLOBS[0], image_shape=[2**31, 2**31]),
        lambda: with_values(BLOBS[0], image_shape=[0, 0]),
        lambda: with_values(BLOBS[0], image_shape=[2**70, 1]),
    ],
    ids=[
        "zip bomb",
        "understated zip",
        "lzma",
        "npy",
        "png",
        "png and shape",
        "huge shape",
        "no pixels",
        "beyond 64 bits",
    ],
)
def test_hostile_sizes_are_refused_before_memory_is_taken(hostile: Callable[[], bytes]) -> None:
    blob = hostile()
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotError):
            decode_path(blob)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**22


def test_memory_is_measured_where_it_is_taken() -> None:
    blob = zip_bomb()
    tracemalloc.start()
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            archive.read("distance.npy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > 2**26


def test_newer_versions_ask_for_an_upgrade() -> None:
    newer = INDEX.replace(b'"schema":1', b'"schema":2')
    for read, content in ((decode_index, newer), (decode_path, with_values(BLOBS[0], schema=2))):
        with pytest.raises(SnapshotError, match="pip install -U tensorboard-plugin-leaf"):
            read(content)
    decode_path(with_values(BLOBS[0], schema=1))


def test_index_and_blobs_belong_together() -> None:
    with pytest.raises(
        SnapshotError, match="blobs: expected 2, one for each path in the index, got 1"
    ):
        decode(INDEX, BLOBS[:1])
    assert len(decode(INDEX, BLOBS).paths) == 2


GOOD = synthetic.path(steps=5, frames=6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"source": 4}, "source: expected a str, got int 4"),
        ({"source_index": -1}, "source_index: expected an int >= 0 or None"),
        ({"steps": np.int64(5)}, "steps: expected an int >= 0, got int64"),
        ({"steps": True}, "steps: expected an int >= 0"),
        ({"steps": 6}, "curve_steps: expected an increasing int32 array from 0 to steps = 6"),
        ({"status": "lost"}, "status: expected one of"),
        ({"threshold": "1"}, "threshold: expected a float"),
        ({"threshold": 1}, ""),
        ({"classes": ["a"]}, "classes: expected a tuple of str"),
        ({"classes": ("a",)}, r"probabilities: .* shape \(6, 1\), got float32 and shape \(6, 10\)"),
        ({"classes": ()}, "classes: expected at least one name"),
        ({"curve_steps": GOOD.curve_steps.astype(np.int64)}, "curve_steps: .* got int64"),
        ({"curve_steps": GOOD.curve_steps[::-1]}, "curve_steps: expected an increasing"),
        ({"curve_steps": GOOD.curve_steps[:0]}, "curve_steps: expected an increasing"),
        ({"curve_steps": [0, 5]}, "curve_steps: .* got list"),
        ({"probabilities": GOOD.probabilities.astype(np.float64)}, "probabilities: .* got float64"),
        ({"entropy": GOOD.entropy[:-1]}, r"entropy: .* shape \(6,\), got float32 and shape \(5,\)"),
        ({"distance": None}, "distance: .* got NoneType"),
        ({"frame_labels": ("4",)}, "frame_labels: expected 6 names"),
        ({"frame_probabilities": GOOD.frame_probabilities[:2]}, "frame_probabilities: "),
        ({"frames": GOOD.frames[:-1]}, "frames: expected 6 frames"),
        ({"frames": GOOD.frames.astype(np.float64)}, "frames: .* got float64"),
        ({"frames": GOOD.frames[..., None]}, "frames: "),
        ({"frames": GOOD.frames[:, :0]}, "frames: "),
        ({"destination_frame": GOOD.frames[:1]}, "destination_frame: "),
        ({"destination_frame": None}, ""),
    ],
)
def test_wrong_paths_are_refused_by_the_name_of_the_field(
    changes: dict[str, Any], message: str
) -> None:
    if not message:
        dataclasses.replace(GOOD, **changes)
        return
    with pytest.raises(SnapshotError, match=message):
        dataclasses.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"paths": ()}, "paths: expected at least one"),
        ({"paths": [GOOD]}, "paths: expected a tuple of PathRecord"),
        ({"name": "a/b"}, "name: expected letters"),
        ({"name": ""}, "name: expected letters"),
        ({"kind": "vertical"}, "kind: expected one of"),
        ({"step": 10**12}, "step: expected at most"),
        ({"step": 1.0}, "step: expected an int"),
        ({"session": "1"}, "session: expected 16 hexadecimal digits"),
        ({"input_shape": [28, 28]}, "input_shape: expected a tuple of ints"),
        ({"scaled": 1}, "scaled: expected a bool"),
        ({"reason": "my own trigger"}, ""),
    ],
)
def test_wrong_snapshots_are_refused_by_the_name_of_the_field(
    changes: dict[str, Any], message: str
) -> None:
    snapshot = synthetic.snapshot(paths=1)
    if not message:
        dataclasses.replace(snapshot, **changes)
        return
    with pytest.raises(SnapshotError, match=re.compile(message)):
        dataclasses.replace(snapshot, **changes)


def test_curves_are_at_most_a_thousand_points() -> None:
    for points, allowed in ((1000, True), (1001, False)):
        steps = points - 1
        curve = np.zeros(points, np.float32)
        changes: dict[str, Any] = dict.fromkeys(
            ("distance", "horizontality", "fisher_rao_length", "entropy"), curve
        )
        changes |= {
            "steps": steps,
            "curve_steps": np.arange(points, dtype=np.int32),
            "probabilities": np.zeros((points, 10), np.float32),
            "frame_steps": np.array([0, 1, 2, 3, 4, steps], np.int32),
        }
        if allowed:
            dataclasses.replace(GOOD, **changes)
        else:
            with pytest.raises(SnapshotError, match="S <= 1000"):
                dataclasses.replace(GOOD, **changes)


def test_frames_too_large_to_be_read_are_not_written() -> None:
    frames = np.zeros((6, 2400, 2400, 3), np.uint8)
    path = dataclasses.replace(GOOD, frames=frames, destination_frame=None)
    snapshot = dataclasses.replace(synthetic.snapshot(), paths=(path,))
    with pytest.raises(SnapshotError, match="Keep fewer or smaller frames"):
        encode(snapshot)


def test_usual_snapshots_stay_below_two_megabytes() -> None:
    generator = np.random.default_rng(0)
    points, classes, frames = 1000, 21, 64
    path = dataclasses.replace(
        GOOD,
        steps=5000,
        classes=tuple(map(str, range(classes))),
        curve_steps=np.linspace(0, 5000, points).astype(np.int32),
        probabilities=generator.random((points, classes), np.float32),
        **{
            name: generator.random(points, np.float32)
            for name in ("distance", "horizontality", "fisher_rao_length", "entropy")
        },
        frame_steps=np.linspace(0, 5000, frames).astype(np.int32),
        frame_labels=("4",) * frames,
        frame_probabilities=generator.random(frames, np.float32),
        # No image is harder to compress than noise.
        frames=generator.integers(0, 256, (frames, 32, 32, 3), np.uint8),
        destination_frame=None,
    )
    index, blobs = encode(dataclasses.replace(synthetic.snapshot(), paths=(path,) * 6))
    assert len(index) + sum(map(len, blobs)) < 2 * 2**20


def test_blobs_open_in_numpy() -> None:
    path = synthetic.path()
    (blob,) = encode(dataclasses.replace(synthetic.snapshot(), paths=(path,)))[1]
    with np.load(io.BytesIO(blob)) as archive:
        np.testing.assert_array_equal(archive["probabilities"], path.probabilities)


def test_mean_horizontality_weighs_each_point_by_the_steps_it_stands_for() -> None:
    path = dataclasses.replace(
        synthetic.path(steps=10, frames=2),
        curve_steps=np.array([0, 1, 9, 10], np.int32),
        horizontality=np.array([1.0, 0.5, np.nan, 7.0], np.float32),
        probabilities=np.zeros((4, 10), np.float32),
        **{name: np.zeros(4, np.float32) for name in ("distance", "fisher_rao_length", "entropy")},
    )
    assert mean_horizontality(path) == pytest.approx((1.0 + 8 * 0.5) / 9)
    assert math.isnan(mean_horizontality(synthetic.path(steps=0)))
