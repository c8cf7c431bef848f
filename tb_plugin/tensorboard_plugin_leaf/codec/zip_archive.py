"""The zip archive that contains a path.

An archive may come from an untrusted source. The size of its directory is checked before the
directory is parsed, and a member is decompressed only up to a size that the caller expects.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Final

import numpy as np

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.fields import Array

MAX_BLOB_BYTES: Final = 2**26
MAX_MEMBERS: Final = 16
# Size of the directory at the end of an archive.
MAX_DIRECTORY_BYTES: Final = 2**12
# Size of the header of an array.
MAX_HEADER_BYTES: Final = 2**8

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# With a constant date, equal snapshots have equal bytes.
_DATE: Final = (1980, 1, 1, 0, 0, 0)

# The last record of an archive: signature, two disk numbers, number of entries (twice), size and
# offset of the directory, size of the comment.
_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR_BYTES: Final = 20
_ZIP64_SIGNATURE: Final = b"PK\x06\x07"


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of ``members``.

    PNG images are stored without further compression.

    Raises:
        SnapshotError: If the archive is larger than :func:`open_archive` accepts.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            method = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, compress_type=method)
        _check_members(archive)
    return buffer.getvalue()


def open_archive(blob: bytes) -> zipfile.ZipFile:
    """Return the zip archive in ``blob``.

    Raises:
        SnapshotError: If the members together are larger than ``MAX_BLOB_BYTES``, there are more
            than ``MAX_MEMBERS``, or one uses another compression than deflate. Errors of zipfile
            are not converted.
    """
    _check_directory(blob)
    archive = zipfile.ZipFile(io.BytesIO(blob))
    _check_members(archive)
    return archive


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_BLOB_BYTES) -> bytes:
    """Return the content of a member.

    Raises:
        SnapshotError: If it is larger than ``limit`` bytes. Errors of zipfile are not converted.
    """
    size = archive.getinfo(name).file_size
    if size > limit:
        raise SnapshotError(f"{name}: expected at most {limit} bytes, got {size}.")
    # Without a size, `read` would decompress a member beyond its declared size.
    with archive.open(name) as member:
        return member.read(size)


def npy(array: Array) -> bytes:
    """Return ``array`` as the content of a ``.npy`` file."""
    buffer = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.lib.format.write_array(buffer, np.ascontiguousarray(little_endian), allow_pickle=False)
    return buffer.getvalue()


def read_array(archive: zipfile.ZipFile, name: str, numbers: int | None = None) -> Array:
    """Return the int32 or float32 array in the member ``<name>.npy``.

    Args:
        archive: An open archive.
        name: Name of the array.
        numbers: Maximum number of elements. ``None`` limits only the bytes of the member.

    Raises:
        SnapshotError: If the array is larger or has another type. Errors of numpy are not
            converted.
    """
    limit = MAX_BLOB_BYTES if numbers is None else 4 * numbers + MAX_HEADER_BYTES
    content = read_member(archive, f"{name}.npy", limit)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise SnapshotError(f"{name}: expected version 1.0 of the npy format.")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.str not in ("<i4", "<f4") or fortran_order:
        raise SnapshotError(f"{name}: expected int32 or float32 in C order, got {dtype}.")
    # A view of the bytes that were read. The shape in the header allocates no memory.
    array = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _check_directory(blob: bytes) -> None:
    # zipfile creates an object of half a kilobyte for every entry of the directory.
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
            f"path: expected a zip archive of at most {MAX_MEMBERS} members without comment, "
            "got other bytes."
        )


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > MAX_BLOB_BYTES:
        raise SnapshotError(
            f"path: expected at most {MAX_BLOB_BYTES} bytes, got {size}. "
            "Keep fewer or smaller frames."
        )
    # zipfile cannot limit the memory of other compression methods.
    if any(member.compress_type not in _METHODS for member in members):
        raise SnapshotError(
            "path: expected members that are stored or compressed by deflate, "
            "got another compression."
        )
