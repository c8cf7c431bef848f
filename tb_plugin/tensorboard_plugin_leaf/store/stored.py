"""A snapshot as TensorBoard lists it, and the check of its index."""

from __future__ import annotations

from typing import Any, NamedTuple

from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.codec.summary import tag_of
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.snapshot import SnapshotIndex


class Stored(NamedTuple):
    """A snapshot in an event file, valid or damaged.

    Attributes:
        tag: Its tag.
        content: Its index, as JSON.
        paths: Number of blobs in its event.
        wall_time: Time at which it was written, in seconds since 1970.
    """

    tag: str
    content: bytes
    paths: int
    wall_time: float


def stored(tag: str, sequence: Any) -> Stored:
    """Return a snapshot, without decoding its index.

    Args:
        tag: Its tag.
        sequence: TensorBoard's blob sequence.
    """
    return Stored(tag, sequence.plugin_content, sequence.max_length, sequence.max_wall_time)


def decode_stored(snapshot: Stored) -> SnapshotIndex:
    """Return the index of a snapshot.

    Raises:
        SnapshotError: If it is damaged, or does not belong to the tag and the event.
    """
    index = decode_index(snapshot.content)
    expected = tag_of(index)
    if snapshot.tag != expected:
        raise SnapshotError(f"the index has the tag {expected!r:.80}, got {snapshot.tag!r:.80}.")
    if len(index.paths) != snapshot.paths:
        raise SnapshotError(
            f"the index lists {len(index.paths)} paths, the event has {snapshot.paths}."
        )
    return index
