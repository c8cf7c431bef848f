"""Snapshots as bytes: decoding returns what was encoded, within the limits of size."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorboard_plugin_leaf import PathRecord, Snapshot, SnapshotError, decode, encode
from tensorboard_plugin_leaf.codec.index_codec import decode_index, mean_horizontality
from tensorboard_plugin_leaf.codec.path_codec import decode_path
from tensorboard_plugin_leaf.schema.path import BLOCKS, STATUSES
from tensorboard_plugin_leaf.schema.snapshot import KINDS

from tests.support.plugin import synthetic
from tests.support.plugin.blobs import (
    BLOBS,
    INDEX,
    archive_of,
    assert_same,
    members_of,
    with_values,
)
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
        change=draw(number),
        euclidean_length=draw(number),
        switch_change=draw(number),
        length_ratio=draw(number),
        blocked_by=draw(st.sampled_from(BLOCKS)),
        judged=draw(text),
        judged_probability=draw(number),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    return Snapshot(
        name=draw(st.from_regex(r"\A[A-Za-z0-9_.-]+\Z")),
        kind=draw(st.sampled_from(KINDS)),
        step=draw(st.integers(0, 10**12 - 1)),
        epoch=draw(count),
        reason=draw(text),
        session=draw(st.from_regex(r"\A[0-9a-f]{16}\Z")),
        session_start_step=draw(count),
        class_count=draw(count),
        input_shape=tuple(draw(st.lists(count, max_size=4))),
        scaled=draw(st.booleans()),
        likelihood=draw(st.sampled_from(["categorical", "bernoulli"])),
        frame_note=draw(text),
        paths=tuple(draw(st.lists(path_records(), min_size=1, max_size=3))),
    )


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


def test_comparison_detects_one_changed_pixel() -> None:
    snapshot = synthetic.snapshot(paths=1)
    decoded = decode(*encode(snapshot))
    decoded.paths[0].frames[2, 3, 4] ^= 1
    with pytest.raises(AssertionError):
        assert_same(decoded, snapshot)


def test_newer_schemas_raise_an_error_that_asks_for_an_upgrade() -> None:
    newer = INDEX.replace(b'"schema":1', b'"schema":2')
    for read, content in ((decode_index, newer), (decode_path, with_values(BLOBS[0], schema=2))):
        with pytest.raises(SnapshotError, match="pip install -U tensorboard-plugin-leaf"):
            read(content)
    decode_path(with_values(BLOBS[0], schema=1))


def test_an_index_of_an_older_version_is_of_exclusive_classes() -> None:
    index = json.loads(INDEX)
    assert index.pop("likelihood") == "categorical"
    assert index.pop("frame_note") == ""
    decoded = decode_index(json.dumps(index).encode())
    assert (decoded.likelihood, decoded.frame_note) == ("categorical", "")
    # Negative control: a field that every version wrote must be there.
    del index["class_count"]
    with pytest.raises(SnapshotError, match="class_count"):
        decode_index(json.dumps(index).encode())


def test_a_path_of_an_older_version_has_no_change_and_no_judge() -> None:
    new = ("change", "switch_change", "euclidean_length", "length_ratio")
    new += ("blocked_by", "judged", "judged_probability")
    index = json.loads(INDEX)
    for path in index["paths"]:
        for name in new:
            del path[name]
    for old in (decode_index(json.dumps(index).encode()).paths[0], decode_path(without(*new))):
        assert math.isnan(old.change + old.euclidean_length + old.length_ratio)
        assert (old.blocked_by, old.judged) == ("", "")
        assert math.isnan(old.judged_probability)
    # Negative controls: the values are read if they are there, and other fields must be there.
    assert decode_path(without()).change == 12.5
    with pytest.raises(SnapshotError, match="final_distance"):
        decode_path(without("final_distance"))


def without(*names: str) -> bytes:
    """Return the blob of a path whose JSON lacks fields."""
    members = members_of(BLOBS[0])
    values = json.loads(members["path.json"])
    kept = {name: value for name, value in values.items() if name not in names}
    return archive_of(members | {"path.json": json.dumps(kept).encode()})


def test_index_with_another_number_of_blobs_raises() -> None:
    with pytest.raises(
        SnapshotError, match="blobs: expected 2, one for each path in the index, got 1"
    ):
        decode(INDEX, BLOBS[:1])
    assert len(decode(INDEX, BLOBS).paths) == 2


VALID = synthetic.path(steps=5, frames=6)


def test_frames_that_cannot_be_decoded_are_not_encoded() -> None:
    frames = np.zeros((6, 2400, 2400, 3), np.uint8)
    path = dataclasses.replace(VALID, frames=frames, destination_frame=None)
    snapshot = dataclasses.replace(synthetic.snapshot(), paths=(path,))
    with pytest.raises(SnapshotError, match="Keep fewer or smaller frames"):
        encode(snapshot)


def test_large_typical_snapshots_stay_below_two_megabytes() -> None:
    generator = np.random.default_rng(0)
    points, classes, frames = 1000, 21, 64
    path = dataclasses.replace(
        VALID,
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
        # Noise compresses worst.
        frames=generator.integers(0, 256, (frames, 32, 32, 3), np.uint8),
        destination_frame=None,
    )
    index, blobs = encode(dataclasses.replace(synthetic.snapshot(), paths=(path,) * 6))
    assert len(index) + sum(map(len, blobs)) < 2 * 2**20


def test_numpy_load_opens_blobs() -> None:
    path = synthetic.path()
    (blob,) = encode(dataclasses.replace(synthetic.snapshot(), paths=(path,)))[1]
    with np.load(io.BytesIO(blob)) as archive:
        np.testing.assert_array_equal(archive["probabilities"], path.probabilities)


def test_mean_horizontality_weights_each_point_by_its_path_steps() -> None:
    path = dataclasses.replace(
        synthetic.path(steps=10, frames=2),
        curve_steps=np.array([0, 1, 9, 10], np.int32),
        horizontality=np.array([1.0, 0.5, np.nan, 7.0], np.float32),
        probabilities=np.zeros((4, 10), np.float32),
        **{name: np.zeros(4, np.float32) for name in ("distance", "fisher_rao_length", "entropy")},
    )
    assert mean_horizontality(path) == pytest.approx((1.0 + 8 * 0.5) / 9)
    assert math.isnan(mean_horizontality(synthetic.path(steps=0)))
