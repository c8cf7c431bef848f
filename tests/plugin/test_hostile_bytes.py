"""Damaged and malicious bytes: decoding raises only ``SnapshotError``."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_leaf import SnapshotError, decode
from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet

from tests.support.plugin.blobs import (
    BLOBS,
    INDEX,
    SIGNAL_BLOBS,
    archive_of,
    members_of,
    with_values,
)
from tests.support.plugin.limits import examples, limited_work


@examples(200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_snapshot_errors(content: bytes) -> None:
    for read in (decode_index, decode_path, read_sheet):
        with pytest.raises(SnapshotError):
            read(content)
    with pytest.raises(SnapshotError):
        decode(content, [content])


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 6)))
        content[start:stop] = draw(st.binary(max_size=6))
    return bytes(content)


@st.composite
def blobs_with_a_mutated_member(draw: st.DrawFn) -> bytes:
    """Draw damage that the checksums of a zip archive do not detect."""
    members = members_of(draw(st.sampled_from([BLOBS[0], *SIGNAL_BLOBS])))
    name = draw(st.sampled_from(sorted(members)))
    return archive_of(members | {name: draw(mutations(members[name]))})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
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
def test_damaged_paths_are_read_or_raise_snapshot_errors(blob: bytes) -> None:
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


DEEP = 100_000


WRONG = [
    *(None, True, False, -1, 0, 1.5, 2**53, 10**400, math.nan, math.inf, -math.inf),
    *("", "x", "NaN", "1e999", "\ud800", [], [None], [[]], {}, {"a": 1}, [2**64, -1], ["x"] * 99),
]


ADDED_LATER = (
    *("likelihood", "frame_note"),
    *("change", "switch_change", "euclidean_length", "length_ratio"),
    *("blocked_by", "judged", "judged_probability"),
)
"""Fields that older files do not have."""


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: f"{value!r:.20}")
def test_wrong_value_of_any_field_is_read_or_raises_snapshot_errors(wrong: Any) -> None:
    values = json.loads(INDEX)
    for record in (values, values["paths"][0]):
        for name in list(record):
            kept, record[name] = record[name], wrong
            with suppress(SnapshotError):
                decode_index(json.dumps(values).encode())
            record.pop(name)
            with nullcontext() if name in ADDED_LATER else pytest.raises(SnapshotError):
                decode_index(json.dumps(values).encode())
            record[name] = kept
    for blob in (BLOBS[0], SIGNAL_BLOBS[0]):
        for name in json.loads(members_of(blob)["path.json"]):
            for read in (decode_path, read_sheet):
                with suppress(SnapshotError):
                    read(with_values(blob, **{name: wrong}))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"schema":1,"paths":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"schema":' + b"9" * 100_000 + b"}",
        b'{"schema":NaN}',
        b'{"schema":1e400}',
        b"[" + b"{}," * 2**20 + b"1]",
        b'"' + b"a" * 2**24 + b'"',
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda content: f"{content[:12]!r}",
)
def test_malicious_json_raises_snapshot_errors_within_limits(content: bytes) -> None:
    blob = archive_of(members_of(BLOBS[0]) | {"path.json": content})
    with limited_work(40):
        with pytest.raises(SnapshotError) as caught:
            decode_index(content)
        for read in (decode_path, read_sheet):
            with pytest.raises(SnapshotError):
                read(blob)
    assert len(str(caught.value)) < 1000


def test_last_of_duplicate_json_keys_is_used() -> None:
    doubled = INDEX.replace(b'"kind":"horizontal"', b'"kind":"vertical","kind":"horizontal"')
    assert doubled != INDEX
    assert decode_index(doubled).kind == "horizontal"
    with pytest.raises(SnapshotError, match="kind"):
        decode_index(INDEX.replace(b'"kind":"horizontal"', b'"kind":"horizontal","kind":[]'))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a blob with removed bytes, flipped bits, swapped parts or repeated parts."""
    blob = bytearray(draw(st.sampled_from([BLOBS[0], SIGNAL_BLOBS[0]])))
    place = st.integers(0, len(blob) - 1)
    for damage in draw(
        st.lists(st.sampled_from(["cut", "flip", "swap", "repeat"]), min_size=1, max_size=4)
    ):
        start, stop = sorted((draw(place), draw(place)))
        if damage == "cut":
            del blob[start:stop]
        elif damage == "flip" and start < len(blob):
            blob[start] ^= 1 << draw(st.integers(0, 7))
        elif damage == "swap":
            blob[:] = blob[start:] + blob[:start]
        elif damage == "repeat":
            blob[start:start] = blob[start:stop]
    return bytes(blob)


@examples(150)
@given(damaged())
def test_damaged_blobs_are_read_or_raise_snapshot_errors(blob: bytes) -> None:
    for read in (decode_path, read_sheet):
        with suppress(SnapshotError):
            read(blob)


@examples(100)
@given(st.lists(damaged() | st.binary(max_size=50), max_size=3), st.binary(max_size=50))
def test_snapshots_with_damaged_parts_are_read_or_raise_snapshot_errors(
    blobs: list[bytes], tail: bytes
) -> None:
    for index in (INDEX, INDEX + tail, tail):
        with suppress(SnapshotError):
            decode(index, blobs)
