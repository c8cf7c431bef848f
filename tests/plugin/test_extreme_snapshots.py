"""Snapshots with unusual text, numbers and sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tensorboard_plugin_leaf import Snapshot, SnapshotError, decode, encode
from tensorboard_plugin_leaf.codec.json_fields import MAX_JSON_BYTES

from tests.support.plugin import synthetic
from tests.support.plugin.blobs import (
    assert_same,
)

UNUSUAL = [
    "",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x00\x01\x1b[31m\x7f",
    "\u202eright to left\u2066",
    "\ud800 alone \udfff",
    "😀𝔸\u0301",
    "a" * 5000,
    "NaN",
    "'; DROP TABLE runs; --",
]


def named(snapshot: Snapshot, text: str) -> Snapshot:
    """Return ``snapshot`` with ``text`` in every field that accepts any text."""
    paths = tuple(
        dataclasses.replace(
            path,
            source=text,
            destination=text,
            classes=(text,) * len(path.classes),
            frame_labels=(text,) * len(path.frame_labels),
        )
        for path in snapshot.paths
    )
    return dataclasses.replace(snapshot, reason=text, paths=paths)


@pytest.mark.parametrize("text", UNUSUAL, ids=range(len(UNUSUAL)))
def test_any_text_is_decoded_unchanged(text: str) -> None:
    snapshot = named(synthetic.snapshot(paths=1, path_steps=5, shape=(8, 8)), text)
    assert_same(decode(*encode(snapshot)), snapshot)


def test_comparison_detects_another_text() -> None:
    snapshot = synthetic.snapshot(paths=1, path_steps=5, shape=(8, 8))
    with pytest.raises(AssertionError):
        assert_same(decode(*encode(named(snapshot, "\ud800"))), named(snapshot, "\udfff"))


@pytest.mark.parametrize("classes", [1, 2, 1000])
@pytest.mark.parametrize("points", [1, 2, 1000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5, 3), (1,), (4000,), (4, 16)], ids=str)
def test_extreme_sizes_are_decoded_unchanged(
    points: int, classes: int, shape: tuple[int, ...]
) -> None:
    is_image = len(shape) == 3 or shape in ((1, 1), (1, 300))
    frames = np.zeros((min(points, 3), *shape), np.uint8 if is_image else np.float32)
    snapshot = synthetic.snapshot_of_size(points, classes, frames)
    assert_same(decode(*encode(snapshot)), snapshot)


@pytest.mark.parametrize(
    ("points", "frames"),
    [
        (1001, np.zeros((2, 4, 4), np.uint8)),
        (10_000, np.zeros((2, 4, 4), np.uint8)),
        (5, np.zeros((2, 4, 4, 4), np.uint8)),
        (5, np.zeros((2, 4, 4, 1), np.uint8)),
        (5, np.zeros((2, 0, 4), np.uint8)),
        (5, np.zeros((2, 4), np.float64)),
    ],
)
def test_sizes_and_types_outside_the_schema_raise(points: int, frames: Any) -> None:
    with pytest.raises(SnapshotError):
        synthetic.snapshot_of_size(points, 3, frames)


def test_names_and_numbers_that_cannot_be_decoded_are_not_encoded() -> None:
    snapshot = synthetic.snapshot(paths=1, path_steps=5)
    with pytest.raises(SnapshotError, match="shorter names"):
        encode(named(snapshot, "x" * (MAX_JSON_BYTES // 4)))
    encode(named(snapshot, "x" * (MAX_JSON_BYTES // 40)))
    with pytest.raises(SnapshotError, match="start_distance"):
        dataclasses.replace(snapshot.paths[0], start_distance=10**400)
