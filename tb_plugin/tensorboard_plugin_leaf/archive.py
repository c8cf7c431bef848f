"""The zip archive that holds a path: named members, read within declared limits.

An archive comes from anywhere. Its directory is counted before it is parsed, and a member is
inflated only up to a size that the caller has reason to expect.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Final

import numpy as np

from tensorboard_plugin_leaf.snapshot import Array, SnapshotError

MAX_BLOB_BYTES: Final = 2**26
MAX_MEMBERS: Final = 16
# Of the directory of an archive, and of the header of an array.
MAX_DIRECTORY_BYTES: Final = 2**12
MAX_HEADER_BYTES: Final = 2**8

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A zip archive demands a date; a constant one keeps the bytes a function of the snapshot.
_DATE: Final = (1980, 1, 1, 0, 0, 0)

# The last record of an archive: signature, disks, entries (twice), bytes and place of the
# directory, bytes of a comment.
_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR_BYTES: Final = 20
_ZIP64_SIGNATURE: Final = b"PK\x06\x07"


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """An archive of `members`; PNG images, which are compressed already, are only stored.

    Raises:
        SnapshotError: If it is larger than `open_archive` accepts.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            method = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, compress_type=method)
        _check_members(archive)
    return buffer.getvalue()


def open_archive(blob: bytes) -> zipfile.ZipFile:
    """The archive in `blob`, whose members together fit `MAX_BLOB_BYTES`.

    Raises:
        SnapshotError: If it is too large. Other errors of zipfile pass through.
    """
    _check_directory(blob)
    archive = zipfile.ZipFile(io.BytesIO(blob))
    _check_members(archive)
    return archive


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_BLOB_BYTES) -> bytes:
    """The content of a member, at most `limit` bytes.

    Raises:
        SnapshotError: If it is larger. Other errors of zipfile pass through.
    """
    size = archive.getinfo(name).file_size
    if size > limit:
        raise SnapshotError(f"{name}: expected at most {limit} bytes, got {size}.")
    # A read without a size would inflate a member beyond the size that it declares.
    with archive.open(name) as member:
        return member.read(size)


def npy(array: Array) -> bytes:
    """`array` as the content of a `.npy` file."""
    buffer = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.lib.format.write_array(buffer, np.ascontiguousarray(little_endian), allow_pickle=False)
    return buffer.getvalue()


def read_array(archive: zipfile.ZipFile, name: str, numbers: int | None = None) -> Array:
    """The int32 or float32 array in the member `<name>.npy`, of at most `numbers` numbers.

    Raises:
        SnapshotError: If it is larger or of another type. Other errors of numpy pass through.
    """
    limit = MAX_BLOB_BYTES if numbers is None else 4 * numbers + MAX_HEADER_BYTES
    content = read_member(archive, f"{name}.npy", limit)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise SnapshotError(f"{name}: expected version 1.0 of the npy format.")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.str not in ("<i4", "<f4") or fortran_order:
        raise SnapshotError(f"{name}: expected int32 or float32 in C order, got {dtype}.")
    # A view on the bytes that are there: whatever the header claims, nothing is allocated.
    array = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _check_directory(blob: bytes) -> None:
    # zipfile makes an object of half a kilobyte of every entry, however many there are.
    if len(blob) < _END.size:
        raise SnapshotError(f"path: expected a zip archive, got {len(blob)} bytes.")
    if len(blob) > MAX_BLOB_BYTES:
        raise SnapshotError(f"path: expected at most {MAX_BLOB_BYTES} bytes, got {len(blob)}.")
    signature, *_, entries, directory, _, comment = _END.unpack_from(blob, len(blob) - _END.size)
    is_end = signature == _END_SIGNATURE and comment == 0
    locator = len(blob) - _END.size - _ZIP64_LOCATOR_BYTES
    is_zip64 = locator >= 0 and blob.startswith(_ZIP64_SIGNATURE, locator)
    if not is_end or is_zip64 or entries > MAX_MEMBERS or directory > MAX_DIRECTORY_BYTES:
        raise SnapshotError(
            f"path: expected a zip archive of at most {MAX_MEMBERS} members, got other bytes."
        )


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > MAX_BLOB_BYTES:
        raise SnapshotError(
            f"path: expected at most {MAX_BLOB_BYTES} bytes, got {size}. "
            "Keep fewer or smaller frames."
        )
    # Other methods cannot be inflated piece by piece.
    if any(member.compress_type not in _METHODS for member in members):
        raise SnapshotError("path: expected members that are stored or deflated.")
