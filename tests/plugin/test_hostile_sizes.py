"""Malicious sizes: decoding raises an error before it allocates memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard_plugin_leaf import SnapshotError, encode
from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.codec.zip_archive import MAX_MEMBERS
from tensorboard_plugin_leaf.routes.json_content import MAX_NUMBERS, path_json

from tests.support.plugin import synthetic
from tests.support.plugin.blobs import (
    BLOBS,
    archive_of,
    members_of,
    with_values,
)
from tests.support.plugin.limits import limited_work


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
def test_malicious_sizes_raise_before_memory_is_allocated(hostile: Callable[[], bytes]) -> None:
    blob = hostile()
    with limited_work(4), pytest.raises(SnapshotError):
        decode_path(blob)


def test_memory_limit_fails_for_a_zip_bomb_that_is_decompressed() -> None:
    blob = zip_bomb()
    with (
        pytest.raises(AssertionError, match=r"\d+ MB"),
        limited_work(64),
        zipfile.ZipFile(io.BytesIO(blob)) as archive,
    ):
        archive.read("distance.npy")


def test_call_limit_fails_for_a_directory_that_is_parsed() -> None:
    blob = archive_of_many(20_000)
    with pytest.raises(AssertionError, match="calls"), limited_work(1000):
        zipfile.ZipFile(io.BytesIO(blob)).close()


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


def with_members(**members: bytes) -> Callable[[], bytes]:
    """Return a function that makes a valid path with other members; ``__`` replaces the dot."""
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
    "60 MB of probabilities": with_members(probabilities__npy=bytes(60 * 2**20)),
    "60 MB of a curve": with_members(entropy__npy=npy_of((15 * 2**20,))),
    "60 MB of steps": with_members(curve_steps__npy=npy_of((15 * 2**20,), "<i4")),
    "60 MB of frame steps": with_members(frame_steps__npy=npy_of((15 * 2**20,), "<i4")),
    "60 MB of JSON": with_members(path__json=b'{"schema":1,"a":[' + b"{}," * (20 * 2**20)),
    "a sheet that is too large": with_members(frames__png=png_of((8000, 8000))),
    "a sheet in colour": with_members(frames__png=png_of((15, 24), "RGB")),
    "one member too many": lambda: archive_of_many(MAX_MEMBERS + 1),
    "20 000 members": lambda: archive_of_many(20_000),
    "a zip64 archive": archive_with_zip64_end,
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
def test_malicious_archives_raise_before_memory_is_allocated(name: str) -> None:
    blob = HOSTILE[name]()
    with limited_work(4), pytest.raises(SnapshotError):
        decode_path(blob)
    with limited_work(4), suppress(SnapshotError):
        read_sheet(blob)


def test_valid_archives_are_read_within_the_same_limits() -> None:
    for blob in (BLOBS[0], with_members()(), archive_of_many(MAX_MEMBERS)):
        with limited_work(4):
            assert read_sheet(blob) is not None
            assert decode_path(blob).steps == 6


def test_pixels_take_no_memory_without_decoding() -> None:
    snapshot = synthetic.snapshot_of_size(3, 2, np.zeros((3, 2000, 1500), np.uint8))
    (blob,) = encode(snapshot)[1]
    with limited_work(2):
        path = decode_path(blob, pixels=False)
        content = json.loads(path_json(path, ""))["frames"]
    assert (content["count"], content["height"], content["width"]) == (3, 2000, 1500)
    with pytest.raises(AssertionError, match="MB"), limited_work(2):
        decode_path(blob)


def test_more_numbers_than_a_page_can_show_raise() -> None:
    length = MAX_NUMBERS // 2
    path = synthetic.snapshot_of_size(3, 2, np.zeros((3, length), np.float32)).paths[0]
    with pytest.raises(SnapshotError, match="numbers"):
        path_json(path, "")
    shown = synthetic.snapshot_of_size(3, 2, np.zeros((3, 1000), np.float32)).paths[0]
    assert json.loads(path_json(shown, ""))["frames"]["length"] == 1000
