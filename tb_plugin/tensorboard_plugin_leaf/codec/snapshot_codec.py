"""A snapshot as an index and one blob for each path.

The index is JSON and suffices to list the snapshot. To open a path, only its blob is read.

The bytes may come from an untrusted source. Decoding raises only
:class:`~tensorboard_plugin_leaf.schema.errors.SnapshotError`, and checks every declared size
before it allocates memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tensorboard_plugin_leaf.codec.index_codec import decode_index, encode_index
from tensorboard_plugin_leaf.codec.path_codec import decode_path, encode_path
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.snapshot import Snapshot, SnapshotScalars


def encode(snapshot: Snapshot) -> tuple[bytes, list[bytes]]:
    """Return a snapshot as bytes.

    Args:
        snapshot: The snapshot to encode.

    Returns:
        The JSON index, and one blob for each path.

    Raises:
        SnapshotError: If the index or a path is larger than :func:`decode` accepts.

    Example:
        >>> from tensorboard_plugin_leaf import encode
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> index, blobs = encode(example_snapshot())
        >>> len(blobs)
        1
    """
    return encode_index(snapshot), [encode_path(path) for path in snapshot.paths]


def decode(index: bytes, blobs: Sequence[bytes]) -> Snapshot:
    """Return the snapshot that :func:`encode` encoded.

    Args:
        index: The JSON index.
        blobs: One blob for each path.

    Returns:
        The snapshot. Every value and every pixel is the same as before encoding.

    Raises:
        SnapshotError: If the bytes are damaged, do not belong together, or a newer version wrote
            them.

    Example:
        >>> from tensorboard_plugin_leaf import decode, encode
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> decode(*encode(example_snapshot())).paths[0].frame_labels
        ('4', '9')
    """
    header = decode_index(index)
    if len(blobs) != len(header.paths):
        raise SnapshotError(
            f"blobs: expected {len(header.paths)}, one for each path in the index, "
            f"got {len(blobs)}."
        )
    scalars = {
        field.name: getattr(header, field.name) for field in dataclasses.fields(SnapshotScalars)
    }
    return Snapshot(**scalars, paths=tuple(map(decode_path, blobs)))
