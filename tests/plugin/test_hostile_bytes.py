"""Bytes that mean harm, or are as large as is allowed: one kind of error, and little memory."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard_plugin_leaf import Snapshot, SnapshotError, decode, encode
from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.codec.json_fields import MAX_JSON_BYTES
from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.codec.zip_archive import MAX_MEMBERS
from tensorboard_plugin_leaf.routes.json_content import MAX_NUMBERS, path_content

from tests.plugin.test_encoding import (
    BLOBS,
    INDEX,
    SIGNAL_BLOBS,
    archive_of,
    assert_same,
    members_of,
    with_values,
)
from tests.support.plugin import synthetic
from tests.support.plugin.limits import examples, few_megabytes

STRANGE = [
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
    """`snapshot` with `text` wherever a text is free."""
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


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    snapshot = named(synthetic.snapshot(paths=1, path_steps=5, shape=(8, 8)), text)
    assert_same(decode(*encode(snapshot)), snapshot)


def test_other_text_is_not_the_same() -> None:
    snapshot = synthetic.snapshot(paths=1, path_steps=5, shape=(8, 8))
    with pytest.raises(AssertionError):
        assert_same(decode(*encode(named(snapshot, "\ud800"))), named(snapshot, "\udfff"))


def with_points(points: int, classes: int, frames: Any) -> Snapshot:
    steps = np.arange(points, dtype=np.int32)
    frame_steps = np.linspace(0, points - 1, len(frames)).astype(np.int32)
    numbers = np.full(points, np.nan, np.float32)
    numbers[: points // 2] = np.inf
    curves = dict.fromkeys(("distance", "horizontality", "fisher_rao_length", "entropy"), numbers)
    path = dataclasses.replace(
        synthetic.path(),
        steps=points - 1,
        start_distance=math.inf,
        final_distance=-math.inf,
        threshold=math.nan,
        classes=tuple(f"class {k}" for k in range(classes)),
        curve_steps=steps,
        probabilities=np.zeros((points, classes), np.float32),
        **curves,
        frame_steps=frame_steps,
        frame_labels=("",) * len(frames),
        frame_probabilities=np.zeros(len(frames), np.float32),
        frames=frames,
        destination_frame=None,
    )
    return dataclasses.replace(synthetic.snapshot(), paths=(path,))


@pytest.mark.parametrize("classes", [1, 2, 1000])
@pytest.mark.parametrize("points", [1, 2, 1000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5, 3), (1,), (4000,), (4, 16)], ids=str)
def test_extreme_sizes_come_back_as_they_were(
    points: int, classes: int, shape: tuple[int, ...]
) -> None:
    is_image = len(shape) == 3 or shape in ((1, 1), (1, 300))
    frames = np.zeros((min(points, 3), *shape), np.uint8 if is_image else np.float32)
    snapshot = with_points(points, classes, frames)
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
def test_what_the_schema_does_not_know_is_refused(points: int, frames: Any) -> None:
    with pytest.raises(SnapshotError):
        with_points(points, 3, frames)


def test_what_would_not_be_read_is_not_written() -> None:
    snapshot = synthetic.snapshot(paths=1, path_steps=5)
    with pytest.raises(SnapshotError, match="shorter names"):
        encode(named(snapshot, "x" * (MAX_JSON_BYTES // 4)))
    encode(named(snapshot, "x" * (MAX_JSON_BYTES // 40)))
    with pytest.raises(SnapshotError, match="start_distance"):
        dataclasses.replace(snapshot.paths[0], start_distance=10**400)


DEEP = 100_000
WRONG = [
    *(None, True, False, -1, 0, 1.5, 2**53, 10**400, math.nan, math.inf, -math.inf),
    *("", "x", "NaN", "1e999", "\ud800", [], [None], [[]], {}, {"a": 1}, [2**64, -1], ["x"] * 99),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: f"{value!r:.20}")
def test_wrong_value_of_any_field_is_read_or_raises_snapshot_errors(wrong: Any) -> None:
    values = json.loads(INDEX)
    for record in (values, values["paths"][0]):
        for name in list(record):
            kept, record[name] = record[name], wrong
            with suppress(SnapshotError):
                decode_index(json.dumps(values).encode())
            record.pop(name)
            with pytest.raises(SnapshotError):
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
def test_strange_json_raises_snapshot_errors_within_bounds(content: bytes) -> None:
    blob = archive_of(members_of(BLOBS[0]) | {"path.json": content})
    with few_megabytes(40):
        with pytest.raises(SnapshotError) as caught:
            decode_index(content)
        for read in (decode_path, read_sheet):
            with pytest.raises(SnapshotError):
                read(blob)
    assert len(str(caught.value)) < 1000


def test_last_of_duplicate_keys_counts() -> None:
    doubled = INDEX.replace(b'"kind":"horizontal"', b'"kind":"vertical","kind":"horizontal"')
    assert doubled != INDEX
    assert decode_index(doubled).kind == "horizontal"
    with pytest.raises(SnapshotError, match="kind"):
        decode_index(INDEX.replace(b'"kind":"horizontal"', b'"kind":"horizontal","kind":[]'))


def archive_of_many(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members_of(BLOBS[0]).items():
            archive.writestr(name, content)
        for number in range(count - len(members_of(BLOBS[0]))):
            archive.writestr(f"{number:x}", b"")
    return buffer.getvalue()


def archive_with_zip64_end() -> bytes:
    end = BLOBS[0][-22:]
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    return BLOBS[0][:-22] + locator + end


def claiming(**members: bytes) -> Callable[[], bytes]:
    """The good path with other members; `__` stands for the dot of a name."""
    named = {name.replace("__", "."): content for name, content in members.items()}
    return lambda: archive_of(members_of(BLOBS[0]) | named)


def png_of(size: tuple[int, int], mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format="PNG")
    return buffer.getvalue()


def npy_of(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros(shape, dtype))
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "60 MB of probabilities": claiming(probabilities__npy=bytes(60 * 2**20)),
    "60 MB of a curve": claiming(entropy__npy=npy_of((15 * 2**20,))),
    "60 MB of steps": claiming(curve_steps__npy=npy_of((15 * 2**20,), "<i4")),
    "60 MB of frame steps": claiming(frame_steps__npy=npy_of((15 * 2**20,), "<i4")),
    "60 MB of JSON": claiming(path__json=b'{"schema":1,"a":[' + b"{}," * (20 * 2**20)),
    "a larger sheet": claiming(frames__png=png_of((8000, 8000))),
    "a sheet in colour": claiming(frames__png=png_of((15, 24), "RGB")),
    "a member too many": lambda: archive_of_many(MAX_MEMBERS + 1),
    "20 000 members": lambda: archive_of_many(20_000),
    "an archive of 64 bits": archive_with_zip64_end,
    "a comment": lambda: BLOBS[0][:-2] + b"\x04\x00" + b"abcd",
    "70 MB": lambda: bytes(70 * 2**20),
    "swapped members": lambda: with_members_swapped("distance.npy", "path.json"),
    "a swapped sheet": lambda: with_members_swapped("distance.npy", "frames.png"),
}


def with_members_swapped(one: str, other: str) -> bytes:
    members = members_of(BLOBS[0])
    return archive_of(members | {one: members[other], other: members[one]})


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_before_memory_is_taken(name: str) -> None:
    blob = HOSTILE[name]()
    with few_megabytes(4), pytest.raises(SnapshotError):
        decode_path(blob)
    with few_megabytes(4), suppress(SnapshotError):
        read_sheet(blob)


def test_harmless_archives_are_read() -> None:
    for blob in (BLOBS[0], claiming()(), archive_of_many(MAX_MEMBERS)):
        with few_megabytes(4):
            assert read_sheet(blob) is not None
            assert decode_path(blob).steps == 6


def test_images_take_no_memory_where_only_their_shape_is_asked() -> None:
    snapshot = with_points(3, 2, np.zeros((3, 2000, 1500), np.uint8))
    (blob,) = encode(snapshot)[1]
    with few_megabytes(2):
        path = decode_path(blob, pixels=False)
        answer = path_content(path)["frames"]
    assert (answer["count"], answer["height"], answer["width"]) == (3, 2000, 1500)
    with pytest.raises(AssertionError, match="MB"), few_megabytes(2):
        decode_path(blob)


def test_more_numbers_than_a_page_can_show_are_refused() -> None:
    length = MAX_NUMBERS // 2
    path = with_points(3, 2, np.zeros((3, length), np.float32)).paths[0]
    with pytest.raises(SnapshotError, match="numbers"):
        path_content(path)
    shown = with_points(3, 2, np.zeros((3, 1000), np.float32)).paths[0]
    assert path_content(shown)["frames"]["length"] == 1000


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A blob cut short, with flipped bits, blocks that changed places, or blocks repeated."""
    blob = bytearray(draw(st.sampled_from([BLOBS[0], SIGNAL_BLOBS[0]])))
    place = st.integers(0, len(blob) - 1)
    for damage in draw(st.lists(st.sampled_from("cfsr"), min_size=1, max_size=4)):
        start, stop = sorted((draw(place), draw(place)))
        if damage == "c":
            del blob[start:stop]
        elif damage == "f" and start < len(blob):
            blob[start] ^= 1 << draw(st.integers(0, 7))
        elif damage == "s":
            blob[:] = blob[start:] + blob[:start]
        elif damage == "r":
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
def test_snapshots_of_damaged_parts_are_read_or_raise_snapshot_errors(
    blobs: list[bytes], tail: bytes
) -> None:
    for index in (INDEX, INDEX + tail, tail):
        with suppress(SnapshotError):
            decode(index, blobs)
